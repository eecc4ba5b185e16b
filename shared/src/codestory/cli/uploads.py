"""Sends a repository to a service that cannot read this machine's folders."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from codestory.cli.screen import animated
from codestory.cli.text import plain
from codestory.client import Client, UploadProgress


def sent(client: Client, path: str, name: str | None, screen: Console) -> str:
    """What a job is to name as its repository. Broken off, the same command goes on where it was."""
    columns = (TextColumn("Upload"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    last = UploadProgress(0, 0, 0)
    with Progress(*columns, console=screen, transient=True, disable=not animated(screen)) as bar:
        task = bar.add_task("", total=None)

        def told(progress: UploadProgress) -> None:
            nonlocal last
            last = progress
            bar.update(task, completed=progress.done, total=progress.total or None)

        snapshot = client.upload(Path(path), name=name, on_progress=told)
    screen.print(f"Uploaded {plain(path)}: {last.done:,} bytes of files, {last.sent:,} bytes sent", soft_wrap=True)
    return snapshot
