"""A support bundle: one file of all that is known of a job, for whoever helps with it."""

import io
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from codestory.cli import arguments, flags, reach
from codestory.cli.exits import BadUse
from codestory.cli.screen import err, out, write_json
from codestory.cli.text import plain, size
from codestory.client import Client, Unavailable
from codestory.local.files import write_private

MANIFEST = "bundle.json"

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Where to; or a folder. Otherwise codestory-JOB-TIME.zip in this one."
    ),
]


def bundle(job: flags.Job, output: Output = None, as_json: flags.AsJson = False) -> None:
    """Write all that is known of a job into one zip file for a support case, secrets left out."""
    with reach.running() as client:
        found = _id(client, job)
        path = _place(output, found)
        content = client.bundle(found)
    try:
        write_private(path, content)
    except OSError as error:
        raise BadUse(f"{plain(path)} cannot be written: {error.strerror}") from error
    about = _about(content)
    missing = {entry["name"]: entry["why"] for entry in about.get("missing", [])}
    if as_json:
        write_json({"file": str(path), "bytes": len(content), "missing": missing})
        return
    out().print(plain(path), soft_wrap=True)
    screen = err()
    files = len(about.get("files", []))
    screen.print(f"{files} files, {size(len(content))}, secrets left out. README.md in it says what it holds.")
    for name, why in missing.items():
        screen.print(f"  without {plain(name)}: {plain(why)}", soft_wrap=True)
    screen.print("Look through it before you hand it on: it names repositories, folders and files.", soft_wrap=True)


def _id(client: Client, typed: str) -> str:
    """The job's id. A service that cannot look for it now may still know it by its whole id."""
    try:
        return arguments.find_job(client, typed).id
    except Unavailable:
        return typed


def _place(output: Path | None, job: str) -> Path:
    name = f"codestory-{job}-{datetime.now().astimezone():%Y%m%dT%H%M%S}.zip"
    path = output or Path(name)
    if path.is_dir():
        path /= name
    if not path.parent.is_dir():
        raise BadUse(f"There is no folder {plain(path.parent)}.")
    if path.exists() and not path.is_file():
        raise BadUse(f"{plain(path)} is no file.")
    return path


def _about(content: bytes) -> dict[str, Any]:
    """What the archive says of itself; nothing where it comes of a service that says it otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            return json.loads(packed.read(MANIFEST))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return {}
