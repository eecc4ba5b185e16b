"""The program `codestory`. Commands are imported when they are asked for, so that `codestory --help` is quick."""

import sys
from functools import cached_property
from importlib import import_module, metadata
from typing import Annotated, ClassVar, NoReturn, TextIO

import typer
from typer.core import TyperGroup
from typer.main import get_group


class Room(TyperGroup):
    """Commands of one module, whose Typer application is its variable `app`."""

    module: ClassVar[str]

    @cached_property
    def _loaded(self) -> TyperGroup:
        loaded = get_group(import_module(self.module).app)
        self.commands = loaded.commands
        return loaded

    def list_commands(self, ctx: object) -> list[str]:
        del ctx
        return list(self._loaded.commands)

    def get_command(self, ctx: object, cmd_name: str):  # noqa: ANN201 - a class that Typer keeps private
        del ctx
        return self._loaded.commands.get(cmd_name)


class IngestRoom(Room):
    module = "codestory.cli.ingest"


class GraphRoom(Room):
    module = "codestory.cli.graph"


class AuthRoom(Room):
    module = "codestory.cli.auth"


class RepoRoom(Room):
    module = "codestory.cli.repo"


class ServiceRoom(Room):
    module = "codestory.cli.service"


app = typer.Typer(
    name="codestory",
    help="Reads a source repository and leaves a graph of it.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich's help costs every start a third of a second
    pretty_exceptions_enable=False,
)
for room, name, about in (
    (IngestRoom, "ingest", "Ingest repositories: start, watch and control jobs."),
    (RepoRoom, "repo", "The repositories that there are: list, show, take out of the graph."),
    (GraphRoom, "graph", "Look into the graph."),
    (AuthRoom, "auth", "Who may ask a service, and who may use its message bus."),
    (ServiceRoom, "service", "The embedded stack on this machine: start, stop, status, logs."),
):
    app.add_typer(typer.Typer(cls=room, no_args_is_help=True, rich_markup_mode=None), name=name, help=about)

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout, and nothing else there.")]


@app.command()
def resources(
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Set how many steps may run at once, over all jobs.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG=N", help="Set how many running steps may hold a tag. TAG= : as the pipeline says."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the tokens and who holds them; change how many there are."""
    from codestory.cli import resources as shared  # noqa: PLC0415 - imported when it is asked for, as the rooms are

    shared.resources(tokens, limit or (), as_json=as_json)


@app.command()
def steps(
    set_concurrency: Annotated[
        list[str] | None, typer.Option(metavar="STEP=N", help="Set how many runs of a step there may be at once.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the steps that exist and their queues; change how many run at once."""
    from codestory.cli import resources as shared  # noqa: PLC0415 - imported when it is asked for, as the rooms are

    shared.steps(set_concurrency or (), as_json=as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look for what is wrong here and say what mends it. Starts and changes nothing. Exit code 1 if something is."""
    from codestory.cli.doctor import command  # noqa: PLC0415 - imported when it is asked for, as the rooms are

    command.doctor(as_json=as_json)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"codestory {metadata.version('codestory')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours, as with NO_COLOR=1.")] = False,
) -> None:
    del version
    if no_color:
        from codestory.cli import screen  # noqa: PLC0415 - Rich is loaded when something is to be shown

        screen.without_color()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command. Nobody is shown a traceback, unless CODESTORY_DEBUG=1 asks for it."""
    for stream in (sys.stdout, sys.stderr):
        _print_anything(stream)
    try:
        app(arguments)
    except Exception as error:  # noqa: BLE001 - the outer edge: what nobody foresaw still ends in a sentence
        from codestory.cli import failures  # noqa: PLC0415 - knows every room; needed only now

        sys.exit(failures.tell(error))
    sys.exit(0)


def _print_anything(stream: TextIO) -> None:
    """A character that the terminal's encoding lacks is escaped, not an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
