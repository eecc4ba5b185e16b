"""`codestory auth keys`: create, list, rotate, revoke. They work on the service's file of keys."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.table import Table

from codestory import api_keys
from codestory.api_keys import ApiKey, KeyRing, Shown, editing
from codestory.api_keys.modes import exposed
from codestory.cli import flags, moments
from codestory.cli.exits import BadUse
from codestory.cli.screen import err, out, write_json
from codestory.cli.settings import read
from codestory.cli.text import plain
from codestory.contracts.access import Role
from codestory.contracts.values import now

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="The file of keys. Otherwise the one of CODESTORY_API_KEYS_FILE."),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the key.", show_default=False)]
Expires = Annotated[str | None, typer.Option(metavar="TIME", help="After 90d, 12h …; never, if it is not given.")]


class KeySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True, extra="ignore")

    api_keys_file: Path | None = None


@app.command()
def create(  # noqa: PLR0917 - Typer calls it by keywords
    owner: Annotated[str, typer.Option(help="Whose jobs it makes and sees. Several keys may share one.")],
    role: Annotated[Role, typer.Option(help="viewer looks; operator also makes jobs; admin does everything.")],
    expires: Expires = None,
    note: Annotated[str, typer.Option(help="For people: who has it, what for.")] = "",
    file: File = None,
    as_json: flags.AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    try:
        key, shown = api_keys.made(owner=owner, role=role, at=now(), expires_at=_after(expires), note=note)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadUse(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    editing.change(_file(file), lambda ring: ring.model_copy(update={"keys": (*ring.keys, key)}))
    _show(key, shown, as_json=as_json)


@app.command("list")
def listed(file: File = None, as_json: flags.AsJson = False) -> None:
    """List the keys: whose they are, what they may, until when. The keys themselves are kept nowhere."""
    path = _file(file)
    ring = api_keys.read(path)
    if exposed(path):
        err().print(f"Others on this machine may read {plain(path)}. Mend it with: chmod 600 {plain(path)}")
    if as_json:
        write_json({"keys": [_told(key) for key in ring.keys]})
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("id", "owner", "role", "made", "ends", "note"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for key in ring.keys:
        made = f"{key.created_at.astimezone():%Y-%m-%d}"
        table.add_row(key.id, plain(key.owner), key.role.value, made, _ends(key), plain(key.note))
    out().print(table if ring.keys else "no keys yet: codestory auth keys create --owner NAME --role operator")


@app.command()
def rotate(
    key: Id,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="So long the old secret is still taken: 0, 1h, 7d …")
    ] = "1d",
    expires: Expires = None,
    file: File = None,
    as_json: flags.AsJson = False,
) -> None:
    """Give a key a new secret and show it, this once. Id, owner and role stay; its end too, unless --expires."""
    shown: list[Shown] = []

    def change(ring: KeyRing) -> KeyRing:
        time = timedelta(seconds=moments.countdown(grace) or 0)
        renewed, secret = api_keys.rotated(ring, key, at=now(), grace=time, expires_at=_after(expires))
        shown.append(secret)
        return renewed

    found = editing.change(_file(file), change).find(key)
    assert found is not None
    if not found.lives(now()):
        err().print(f"The key {found.id} has expired, and is not taken: give it another end with --expires.")
    _show(found, shown[-1], as_json=as_json)


@app.command()
def revoke(key: Id, file: File = None) -> None:
    """Remove a key. Services do not take it any more within seconds, and end what is open with it."""
    editing.change(_file(file), lambda ring: api_keys.without(ring, key))
    err().print(f"The key {plain(key)} is gone.")


def _file(given: Path | None) -> Path:
    path = given or read(KeySettings).api_keys_file
    if path is None:
        raise BadUse("Which file of keys? Name it with --file, or in CODESTORY_API_KEYS_FILE.")
    return path


def _after(text: str | None) -> datetime | None:
    seconds = moments.countdown(text)
    if seconds is None:
        return None
    try:
        return now() + timedelta(seconds=seconds)
    except OverflowError as error:
        raise BadUse(f"--expires {plain(text)} is further off than the calendar goes.") from error


def _ends(key: ApiKey) -> str:
    if key.expires_at is None:
        return "never"
    return f"{key.expires_at.astimezone():%Y-%m-%d %H:%M}{'' if key.lives(now()) else ' (over)'}"


def _told(key: ApiKey) -> dict[str, object]:
    return key.model_dump(mode="json", exclude={"hash", "previous_hash"})


def _show(key: ApiKey, shown: Shown, *, as_json: bool) -> None:
    """The key alone goes to stdout, so that it can be put into a file."""
    if as_json:
        write_json({**_told(key), "key": str(shown)})
        return
    ends = f"until {moments.moment(key.expires_at)}" if key.expires_at else "without an end"
    err().print(f"{key.role.value} {key.id} of {plain(key.owner)}, {ends}. Keep it now, it is not shown again:")
    out().print(str(shown), soft_wrap=True)
