"""What may be asked of a job once it is made: why, cancel, stop, resume, retry, prioritise."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from codestory.cli import arguments, flags, follow, reach, reasons, receipts, render
from codestory.cli.exits import Exit
from codestory.cli.screen import err, out, write_json
from codestory.cli.text import plain
from codestory.client import Client
from codestory.contracts.api import JobView, RetryJob
from codestory.contracts.values import Priority

UntilEnded = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it has ended, to show what was kept and released.")
]
Follow = Annotated[bool, typer.Option("--wait/--detach", help="Follow the job to its end.")]


def why(job: flags.Job, as_json: flags.AsJson = False) -> None:
    """Say why a job does not go on. What it waits for, who holds that, and since when."""
    with reach.running() as client:
        found = client.why(arguments.find_job(client, job).id)
    if as_json:
        write_json(found)
    else:
        reasons.show(out(), found)


def cancel(job: flags.Job, wait: UntilEnded = True, as_json: flags.AsJson = False) -> None:
    """End a job. What its finished steps wrote stays in the graph."""
    _end(job, lambda client: client.cancel, "cancelled", wait=wait, as_json=as_json)


def stop(job: flags.Job, wait: UntilEnded = True, as_json: flags.AsJson = False) -> None:
    """Halt a job and keep what is done. It can be resumed."""
    _end(job, lambda client: client.stop, "stopped", wait=wait, as_json=as_json)


def resume(job: flags.Job, wait: Follow = True, as_json: flags.AsJson = False) -> None:
    """Let a stopped job go on with what did not complete."""
    screen = err()
    with reach.running() as client:
        _on(client, client.resume(arguments.find_job(client, job).id), screen, wait=wait, as_json=as_json)


def retry(
    job: flags.Job,
    *,
    from_step: Annotated[
        str, typer.Option("--from", metavar="STEP", help="This step and what depends on it too; start: every step.")
    ] = "",
    option: flags.Option = None,
    step_option: flags.StepOption = None,
    wait: Follow = True,
    as_json: flags.AsJson = False,
) -> None:
    """Run a failed, stopped or cancelled job again. Only what did not complete, unless --from says more."""
    screen = err()
    request = arguments.checked(
        RetryJob,
        from_step=from_step,
        options=arguments.options(option or ()),
        step_options=arguments.step_options(step_option or ()),
    )
    with reach.running() as client:
        _on(client, client.retry(arguments.find_job(client, job).id, request), screen, wait=wait, as_json=as_json)


def prioritise(
    job: flags.Job,
    priority: Annotated[Priority, typer.Argument(help="high, default or low.", show_default=False)],
    as_json: flags.AsJson = False,
) -> None:
    """Change which jobs a waiting job goes before. What runs is not interrupted."""
    with reach.running() as client:
        changed = client.change(arguments.find_job(client, job).id, priority=priority)
    if as_json:
        write_json(changed)
    else:
        out().print(f"Job {plain(changed.id)} has priority {changed.priority}.", soft_wrap=True)


def _end(
    typed: str,
    verb: Callable[[Client], Callable[[str], JobView]],
    became: str,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Ask for the end of the job, and show the receipt once it has ended."""
    screen = err()
    with reach.running() as client:
        job = verb(client)(arguments.find_job(client, typed).id)
        if wait and not job.state.ended:
            screen.print(f"Job {plain(job.id)} is being {became}: its steps are told to end.", soft_wrap=True)
            job = _ended(client, job, screen)
    if as_json:
        write_json(job)
        return
    said = f"is {became}" if job.state.name.lower() == became else f"is {job.state}"
    said = said if job.state.ended else f"is being {became}: its steps are told to end"
    out().print(f"Job {plain(job.id)} {said}.", soft_wrap=True)
    if job.state.ended:
        receipts.show(out(), job)


def _ended(client: Client, job: JobView, screen: Console) -> JobView:
    try:
        return client.wait(job.id)
    except KeyboardInterrupt as interrupted:
        screen.print(f"Job {plain(job.id)} will end without you. See: {render.command()} ingest status {plain(job.id)}")
        raise typer.Exit(Exit.INTERRUPTED) from interrupted


def _on(client: Client, job: JobView, screen: Console, *, wait: bool, as_json: bool) -> None:
    """The job goes on: say with what, then follow it or leave it."""
    screen.print(f"Job {plain(job.id)}: {plain(job.repository.name)}", soft_wrap=True)
    receipts.show(screen, job)
    if wait:
        follow.to_its_end(client, job, screen, as_json=as_json)
    follow.left(job, screen, as_json=as_json)
