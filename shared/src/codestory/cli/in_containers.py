"""`codestory service start --repositories DIR`: the service in containers, with one folder that they all see."""

from pathlib import Path

from rich.console import Console

from codestory.cli.screen import out, write_json
from codestory.cli.settings import read
from codestory.cli.text import plain


def start(repositories: Path, compose_file: Path, screen: Console, *, quiet: bool, as_json: bool) -> None:
    from codestory.containers import parent  # noqa: PLC0415 - only those who use containers load it
    from codestory.containers.settings import ContainersSettings  # noqa: PLC0415

    def say(said: str) -> None:
        if not quiet:
            screen.print(f"  {plain(said)}", soft_wrap=True)

    folder = repositories.absolute()
    url = parent.bring_up(compose_file.absolute(), folder, read(ContainersSettings), say)
    if as_json:
        write_json({"url": url, "repositories": str(folder)})
    elif not quiet:
        out().print(f"Code Story runs in containers at {plain(url)}", soft_wrap=True)
        screen.print(
            f"Repositories below {plain(folder)} are seen there. To use it: export CODESTORY_URL={plain(url)} "
            "CODESTORY_API_KEY_FILE=secrets/api_key",
            soft_wrap=True,
        )
