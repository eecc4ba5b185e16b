"""`codestory auth nats`: init, add-step. Writes a folder of keys and the server's configuration; asks no service."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.cli import flags
from codestory.cli.screen import err, out, write_json
from codestory.cli.settings import read
from codestory.cli.text import plain, plain_lines
from codestory.nats_users import NatsUsersError, folder
from codestory.nats_users.config import SYSTEM

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

#: The steps that are delivered with the service.
STEPS = ("blarify", "documentation_grapher", "filesystem", "summarizer")

Folder = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The folder of the keys and of the configuration.")]
Namespace = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of the stack. Otherwise CODESTORY_NAMESPACE, or what is there.")
]
DEFAULT = Path("nats-auth")


class NatsSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True, extra="ignore")

    namespace: str | None = None


@app.command()
def init(directory: Folder = DEFAULT, namespace: Namespace = None, as_json: flags.AsJson = False) -> None:
    """Make a key for each service, for operators and for monitoring, and the server's configuration. Keys that are
    there stay: done twice it is done once."""
    _show(folder.write(directory, STEPS, namespace or read(NatsSettings).namespace), as_json=as_json)


@app.command("add-step")
def add_step(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the step.", show_default=False)],
    directory: Folder = DEFAULT,
    namespace: Namespace = None,
    as_json: flags.AsJson = False,
) -> None:
    """Make a key for a step of somebody else's, and write the configuration anew. The keys of the others stay."""
    if not (directory / folder.CONFIG).exists():
        raise NatsUsersError(f"{directory / folder.CONFIG} is not there: codestory auth nats init --dir {directory}")
    _show(folder.write(directory, (name,), namespace or read(NatsSettings).namespace), as_json=as_json)


def _show(written: folder.Written, *, as_json: bool) -> None:
    if as_json:
        write_json(_as_json(written))
        return
    console = out()
    for user, seed in written.seeds.items():
        about = "made" if user in written.made else "kept"
        console.print(plain(f"{about}  {user:<28} {seed}"), highlight=False, soft_wrap=True)
    err().print(
        plain_lines(
            f"""
The server: include {written.config} in its configuration, then start it anew or: nats-server --signal reload
Each service: CODESTORY_NATS_NKEY_SEED_FILE=<its file>. A key is a secret: only its service may read it.
Of {SYSTEM} only whoever looks after the server itself needs the key."""
        ),
        highlight=False,
        soft_wrap=True,
    )


def _as_json(written: folder.Written) -> dict[str, Any]:
    return {
        "config": str(written.config),
        "namespace": written.namespace,
        "users": [
            {"user": user, "seed_file": str(seed), "made": user in written.made} for user, seed in written.seeds.items()
        ],
    }
