"""What may be asked of a job once it is made: why, cancel, stop, resume, retry, prioritise."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from codestory.cli import arguments, bulk, completion, flags, follow, listing, reach, reasons, receipts, render
from codestory.cli.exits import Exit
from codestory.cli.screen import err, out, write_json
from codestory.cli.text import plain
from codestory.client import Again, Client
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


def cancel(
    job: bulk.OneJob = None,
    *,
    matching: bulk.Matching = False,
    status: listing.States = "",
    repository: listing.OfRepository = None,
    step: listing.WithStep = None,
    priority: listing.OfPriority = None,
    since: listing.Since = None,
    until: listing.Until = None,
    everything: bulk.Everything = False,
    dry_run: bulk.DryRun = False,
    yes: bulk.Yes = False,
    wait: UntilEnded = True,
    as_json: flags.AsJson = False,
) -> None:
    """End a job. What its finished steps wrote stays in the graph. Or many, with --matching."""
    filters = listing.filters(
        status=status, repository=repository, step=step, priority=priority, since=since, until=until
    )
    one = bulk.one_or_many(job, matching=matching, filters=filters, everything=everything, dry_run=dry_run)
    if one is not None:
        _end(one, lambda client: client.cancel, "cancelled", wait=wait, as_json=as_json)
        return
    bulk.ask(
        "cancel",
        "cancelled",
        lambda client, dry: client.cancel_all(all=everything, limit=bulk.LIMIT, dry_run=dry, **filters),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


def stop(
    job: bulk.OneJob = None,
    *,
    matching: bulk.Matching = False,
    status: listing.States = "",
    repository: listing.OfRepository = None,
    step: listing.WithStep = None,
    priority: listing.OfPriority = None,
    since: listing.Since = None,
    until: listing.Until = None,
    everything: bulk.Everything = False,
    dry_run: bulk.DryRun = False,
    yes: bulk.Yes = False,
    wait: UntilEnded = True,
    as_json: flags.AsJson = False,
) -> None:
    """Halt a job and keep what is done. It can be resumed. Or many, with --matching."""
    filters = listing.filters(
        status=status, repository=repository, step=step, priority=priority, since=since, until=until
    )
    one = bulk.one_or_many(job, matching=matching, filters=filters, everything=everything, dry_run=dry_run)
    if one is not None:
        _end(one, lambda client: client.stop, "stopped", wait=wait, as_json=as_json)
        return
    bulk.ask(
        "stop",
        "stopped",
        lambda client, dry: client.stop_all(all=everything, limit=bulk.LIMIT, dry_run=dry, **filters),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


def resume(job: flags.Job, wait: Follow = True, as_json: flags.AsJson = False) -> None:
    """Let a stopped job go on with what did not complete."""
    screen = err()
    with reach.running() as client:
        _on(client, client.resume(arguments.find_job(client, job).id), screen, wait=wait, as_json=as_json)


def retry(
    job: bulk.OneJob = None,
    *,
    matching: bulk.Matching = False,
    status: listing.States = "",
    repository: listing.OfRepository = None,
    step: listing.WithStep = None,
    priority: listing.OfPriority = None,
    since: listing.Since = None,
    until: listing.Until = None,
    everything: bulk.Everything = False,
    dry_run: bulk.DryRun = False,
    yes: bulk.Yes = False,
    from_step: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STEP",
            help="This step and what depends on it too; start: every step.",
            autocompletion=completion.steps,
        ),
    ] = "",
    option: flags.Option = None,
    step_option: flags.StepOption = None,
    wait: Follow = True,
    as_json: flags.AsJson = False,
) -> None:
    """Run a failed, stopped or cancelled job again. Only what did not complete, unless --from says more. Or many, with
    --matching."""
    screen = err()
    filters = listing.filters(
        status=status, repository=repository, step=step, priority=priority, since=since, until=until
    )
    one = bulk.one_or_many(job, matching=matching, filters=filters, everything=everything, dry_run=dry_run)
    request = arguments.checked(
        RetryJob,
        from_step=from_step,
        options=arguments.options(option or ()),
        step_options=arguments.step_options(step_option or ()),
    )
    if one is not None:
        with reach.running() as client:
            _on(client, client.retry(arguments.find_job(client, one).id, request), screen, wait=wait, as_json=as_json)
        return
    again: Again = {
        "from_step": request.from_step,
        "options": request.options,
        "step_options": dict(request.step_options),
    }
    bulk.ask(
        "retry",
        "retried",
        lambda client, dry: client.retry_all(again=again, all=everything, limit=bulk.LIMIT, dry_run=dry, **filters),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


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
