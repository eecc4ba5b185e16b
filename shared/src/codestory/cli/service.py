"""`codestory service`: start, stop, status, logs of the embedded stack on this machine."""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from codestory import local
from codestory.cli import in_containers
from codestory.cli.exits import Exit
from codestory.cli.screen import err, out, write_json
from codestory.cli.text import duration, plain, size

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout, and nothing else there.")]


@app.command()
def start(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The pipeline of jobs that bring none. Otherwise ./pipeline_config.yml."),
    ] = None,
    *,
    repositories: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Start it in containers (Docker Compose), which see the repositories below."),
    ] = None,
    compose_file: Annotated[
        Path, typer.Option(metavar="FILE", help="With --repositories: Code Story's compose.yaml, or its folder.")
    ] = Path(),
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything answers.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the stack, or find the one that runs and start the services of steps installed since."""
    screen = err()
    if repositories is not None:
        in_containers.start(repositories, compose_file, screen, quiet=quiet, as_json=as_json)
        return
    stack = local.start(config, wait=wait, on_progress=None if quiet else lambda said: _say(screen, said))
    if as_json:
        write_json(
            {
                "url": stack.url,
                "version": stack.version,
                "found": stack.found,
                "started_at": stack.started_at.isoformat(),
                "state_dir": str(stack.state_dir),
                "config": str(stack.config),
                "nats_url": stack.nats_url,
                "neo4j_uri": stack.neo4j.uri,
            }
        )
    elif not quiet:
        out().print(f"Code Story {plain(stack.version)} runs at {plain(stack.url)}", soft_wrap=True)


@app.command()
def stop(as_json: AsJson = False) -> None:
    """End the stack and every process of it. Its data stay."""
    receipt = local.stop()
    if as_json:
        write_json(asdict(receipt))
    elif receipt.was_running:
        out().print(f"Stopped after {duration(receipt.seconds)}: {plain(', '.join(receipt.stopped))}", soft_wrap=True)
    else:
        out().print("No stack was running.")
    if receipt.killed and not as_json:
        _say(err(), f"killed, because they did not end by themselves: {', '.join(receipt.killed)}")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the stack and its processes. Exit code 4 when none runs."""
    found = local.status()
    if as_json:
        write_json(_as_json(found))
    else:
        _show(out(), found)
    if not found.running:
        raise typer.Exit(Exit.UNREACHABLE)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A process or a step. Otherwise all.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show the last lines of the logs."""
    found = local.logs(name, lines=lines, follow=follow, state_dir=local.LocalSettings.read().state_dir)
    try:
        with closing(found):
            for process, line in found:
                typer.echo(plain(line) if name else f"{process}: {plain(line)}")
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _say(screen: Console, said: str) -> None:
    screen.print(plain(said), soft_wrap=True)


def _as_json(found: local.StackStatus) -> dict[str, object]:
    return {
        **asdict(found),
        "state_dir": str(found.state_dir),
        "started_at": found.started_at.isoformat() if found.started_at else None,
        "processes": [{**asdict(process), "log": str(process.log)} for process in found.processes],
    }


def _show(screen: Console, found: local.StackStatus) -> None:
    if not found.running:
        screen.print(f"No stack runs (state in {plain(found.state_dir)}).", soft_wrap=True)
        screen.print("Start it: codestory service start")
        return
    ready = "ready" if found.ready else "not ready"
    screen.print(f"Code Story {plain(found.version)} at {plain(found.url)}: {ready}", soft_wrap=True)
    screen.print(f"pipeline: {plain(found.config)}", soft_wrap=True)
    table = Table("state", "pid", box=None, pad_edge=False, header_style="bold")
    for heading in ("restarts", "up", "memory", "CPU"):
        table.add_column(heading, justify="right")
    table.add_column("process", overflow="fold")
    for process in found.processes:
        table.add_row(
            process.state,
            str(process.pid or ""),
            str(process.restarts),
            duration(process.uptime_seconds),
            size(process.memory_bytes),
            duration(process.cpu_seconds),
            plain(process.name),
        )
    screen.print(table)
    number = sum(process.processes for process in found.processes)
    screen.print(f"{size(found.memory_bytes)} in {number} processes")
    screen.print(f"logs: {plain(found.state_dir / 'logs')}", soft_wrap=True)
