"""docs/reference/cli.md says what the commands say. Run this file to write it anew:

.venv/bin/python tests/unit/house/test_cli_reference.py"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from typer.main import get_command

from codestory.cli.main import app

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
HEAD = """\
# The command line

Answers go to stdout, everything said meanwhile to stderr. `--json` prints the answer as JSON and nothing else there.
`codestory --install-completion` teaches your shell the commands, and offers jobs and steps of the running service.
`NO_COLOR=1` or `codestory --no-color …` turns colours off. Ctrl-C while a job is followed asks whether to detach, to
cancel or to go on; without a terminal, or a second time, it detaches. This page is made from the commands, and a test
keeps it so.

| exit code | |
|---|---|
| 0 | done |
| 1 | the job failed, was stopped or cancelled, or was refused for want of room; `doctor` found something to mend |
| 2 | it was asked wrongly, or it cannot be done in this state |
| 3 | the job is done, but not all that was found is in the graph |
| 4 | no service or no graph answers |
| 130 | interrupted; the job goes on |
"""


def reference() -> str:
    return "\n".join([HEAD, *_rooms(get_command(app), "codestory")])


def _rooms(group: Any, path: str) -> Iterator[str]:
    """Its own commands first, then those of its groups."""
    commands = [(name, group.get_command(None, name)) for name in group.list_commands(None)]
    alone = [(name, command) for name, command in commands if not hasattr(command, "list_commands")]
    if alone:
        yield f"## {path}\n"
    for name, command in alone:
        yield _command(f"{path} {name}", command)
    for name, command in commands:
        if hasattr(command, "list_commands"):
            yield from _rooms(command, f"{path} {name}")


def _command(path: str, command: Any) -> str:
    taken = " ".join(each.metavar or each.name.upper() for each in command.params if each.param_type_name == "argument")
    rows = "".join(_row(each) for each in command.params if getattr(each, "help", None))
    table = f"\n| | |\n|---|---|\n{rows}" if rows else ""
    return f"### {path} {taken}".rstrip() + f"\n\n{' '.join(command.help.split())}\n{table}"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    else:
        name = " / ".join(filter(None, [", ".join(parameter.opts), ", ".join(parameter.secondary_opts)]))
        if parameter.metavar:
            name += f" {parameter.metavar}"
        elif isinstance(parameter.bare_type, type) and issubclass(parameter.bare_type, StrEnum):
            name += " " + "/".join(parameter.bare_type)
    return f"| `{name}` | {parameter.help} |\n".replace("\\", "\\\\")


def test_the_reference_of_the_commands_is_what_they_say() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")

    assert written == reference(), "run: .venv/bin/python tests/unit/house/test_cli_reference.py"


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
