"""`codestory ingest`: start, update and schedule; look at jobs; control them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from codestory.cli import (
    arguments,
    bundle,
    completion,
    control,
    flags,
    follow,
    history,
    listing,
    moments,
    mount,
    mounts,
    reach,
    render,
    schedules,
    uploads,
)
from codestory.cli import dry_run as dry_run_of
from codestory.cli import trace as trace_of
from codestory.cli.exits import BadUse
from codestory.cli.screen import err, out, write_json
from codestory.cli.text import plain
from codestory.client import Client
from codestory.contracts.api import JobList, SubmitJob
from codestory.contracts.plans import PipelineConfig
from codestory.contracts.schedules import CreateSchedule
from codestory.contracts.values import Mode, OnFull, Priority, When

#: Taken from the folder where the command is given, if it is there.
OWN_CONFIG = Path("pipeline_config.yml")

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def start(
    path: flags.Repository,
    *,
    upload: flags.Upload = False,
    ref: flags.Ref = None,
    credential: flags.Credential = None,
    submodules: flags.Submodules = False,
    name: flags.Name = None,
    steps: flags.Steps = "",
    mode: Annotated[Mode, typer.Option(help="update: compute only what has changed since the last time.")] = Mode.FULL,
    update: Annotated[bool, typer.Option("--update", help="The same as --mode update.")] = False,
    priority: flags.JobPriority = Priority.DEFAULT,
    option: flags.Option = None,
    step_option: flags.StepOption = None,
    config: flags.Config = None,
    dependency: flags.Dependency = None,
    resource: flags.Resource = None,
    eta: flags.Eta = None,
    countdown: flags.Countdown = None,
    after: flags.After = None,
    when: flags.JobWhen = When.SUCCESS,
    on_full: flags.JobOnFull = OnFull.WAIT,
    dry_run: flags.DryRun = False,
    auto_mount: flags.AutoMount = True,
    path_prefix: flags.PathPrefix = "",
    container: flags.Container = "",
    debug: flags.Debug = False,
    wait: flags.Wait = None,
    as_json: flags.AsJson = False,
) -> None:
    """Ingest a repository. Starts the embedded stack if no service runs."""
    if when is not When.SUCCESS and not after:
        raise BadUse("--when is about the jobs of --after; name them.")
    if dry_run and upload:
        raise BadUse("--dry-run sends nothing, so that the service has nothing to look at: leave out --upload.")
    screen = err()
    request = _request(
        path,
        config,
        screen,
        ref=ref,
        credential=credential,
        submodules=submodules,
        name=name,
        steps=steps,
        mode=Mode.UPDATE if update else mode,
        priority=priority,
        option=option,
        step_option=step_option,
        dependency=dependency,
        resource=resource,
        eta=moments.eta(eta),
        countdown=moments.countdown(countdown),
        after=tuple(after or ()),
        when=when,
        on_full=on_full,
    )
    how = mounts.How(auto_mount, path_prefix, container, debug)
    if dry_run:
        _plan(request, config, screen, how=how, as_json=as_json)
        return
    _begin(request, config, screen, how=how, upload=upload, wait=wait, as_json=as_json)


@app.command()
def update(
    path: flags.Repository,
    *,
    upload: flags.Upload = False,
    ref: flags.Ref = None,
    credential: flags.Credential = None,
    submodules: flags.Submodules = False,
    name: flags.Name = None,
    steps: flags.Steps = "",
    priority: flags.JobPriority = Priority.DEFAULT,
    option: flags.Option = None,
    step_option: flags.StepOption = None,
    config: flags.Config = None,
    auto_mount: flags.AutoMount = True,
    path_prefix: flags.PathPrefix = "",
    container: flags.Container = "",
    debug: flags.Debug = False,
    wait: flags.Wait = None,
    as_json: flags.AsJson = False,
) -> None:
    """Ingest what has changed since the last time. Of one step alone (--steps), the others' part stays as it is."""
    screen = err()
    request = _request(
        path,
        config,
        screen,
        ref=ref,
        credential=credential,
        submodules=submodules,
        name=name,
        steps=steps,
        mode=Mode.UPDATE,
        priority=priority,
        option=option,
        step_option=step_option,
    )
    how = mounts.How(auto_mount, path_prefix, container, debug)
    _begin(request, config, screen, how=how, upload=upload, wait=wait, as_json=as_json)


@app.command()
def schedule(
    path: flags.Repository,
    *,
    cron: Annotated[
        str, typer.Option(metavar="'M H D M W'", help="When, as crontab has it: '0 3 * * *' is each day at 3.")
    ],
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="Of --cron: Europe/Berlin.")] = "UTC",
    title: Annotated[str, typer.Option(help="For people; it need not be unique.")] = "",
    paused: Annotated[bool, typer.Option("--paused", help="Make no jobs yet.")] = False,
    ref: flags.Ref = None,
    credential: flags.Credential = None,
    submodules: flags.Submodules = False,
    name: flags.Name = None,
    steps: flags.Steps = "",
    mode: Annotated[Mode, typer.Option(help="update: compute only what has changed since the last time.")] = Mode.FULL,
    update: Annotated[bool, typer.Option("--update", help="The same as --mode update.")] = False,
    priority: flags.JobPriority = Priority.DEFAULT,
    option: flags.Option = None,
    step_option: flags.StepOption = None,
    config: flags.Config = None,
    dependency: flags.Dependency = None,
    resource: flags.Resource = None,
    auto_mount: flags.AutoMount = True,
    path_prefix: flags.PathPrefix = "",
    container: flags.Container = "",
    debug: flags.Debug = False,
    as_json: flags.AsJson = False,
) -> None:
    """Ingest a repository again and again. See: codestory ingest schedules"""
    screen = err()
    job = _request(
        path,
        config,
        screen,
        ref=ref,
        credential=credential,
        submodules=submodules,
        name=name,
        steps=steps,
        mode=Mode.UPDATE if update else mode,
        priority=priority,
        option=option,
        step_option=step_option,
        dependency=dependency,
        resource=resource,
    )
    request = arguments.checked(CreateSchedule, job=job, cron=cron, time_zone=time_zone, title=title, paused=paused)
    how = mounts.How(auto_mount, path_prefix, container, debug)
    with reach.running_or_started(_config(config), screen) as client:
        seen, why = mounts.place(job.repository, how, screen)
        request = request.model_copy(update={"job": job.model_copy(update={"repository": seen})})
        with mounts.explained(why):
            made = reach.with_new_steps(lambda: client.create_schedule(request), screen)
    schedules.tell(made, screen, as_json=as_json)


@app.command()
def status(job: flags.Job, as_json: flags.AsJson = False) -> None:
    """Show a job as it is now."""
    with reach.running() as client:
        found = arguments.find_job(client, job)
    if as_json:
        write_json(found)
    else:
        render.job(out(), found)


@app.command()
def step(
    job: flags.Job,
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP", help="The name of the step.", show_default=False, autocompletion=completion.steps
        ),
    ],
    as_json: flags.AsJson = False,
) -> None:
    """Show one step of a job: its attempts, workers and options."""
    with reach.running() as client:
        found = client.step(arguments.find_job(client, job).id, step)
    if as_json:
        write_json(found)
    else:
        render.step(out(), found)


@app.command()
def jobs(
    *,
    status: listing.States = "",
    repository: listing.OfRepository = None,
    step: listing.WithStep = None,
    priority: listing.OfPriority = None,
    since: listing.Since = None,
    until: listing.Until = None,
    schedule: listing.OfSchedule = None,
    sort: listing.Order = "newest",
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    as_json: flags.AsJson = False,
) -> None:
    """List jobs, the newest first: all, or those to which every filter applies."""
    filters = listing.filters(
        status=status,
        repository=repository,
        step=step,
        priority=priority,
        since=since,
        until=until,
        schedule=schedule,
    )
    order = listing.order(sort)
    with reach.running() as client:
        if everything:
            page = JobList(jobs=tuple(client.iter_jobs(sort=order, **filters)))
        else:
            page = client.job_page(limit, sort=order, **filters)
    if as_json:
        write_json(page)
        return
    render.jobs(out(), page.jobs, narrowed=bool(filters))
    if page.next:
        err().print(f"The first {len(page.jobs)} are shown. More: --limit, all of them: --all", soft_wrap=True)


@app.command()
def watch(job: flags.Job) -> None:
    """Follow a job to its end."""
    screen = err()
    with reach.running() as client:
        follow.to_its_end(client, arguments.find_job(client, job), screen, as_json=False)


app.command()(mount.mount)
for verb in (control.why, control.cancel, control.stop, control.resume, control.retry, control.prioritise):
    app.command()(verb)
for told in (history.events, history.logs, trace_of.trace, bundle.bundle):
    app.command()(told)
app.add_typer(schedules.app, name="schedules", help="What is ingested again and again.")


def _request(
    path: str,
    config: Path | None,
    screen: Console,
    *,
    steps: str,
    option: list[str] | None,
    step_option: list[str] | None,
    dependency: list[str] | None = None,
    resource: list[str] | None = None,
    **fields: Any,
) -> SubmitJob:
    """`fields`: those of SubmitJob that are taken as they were typed."""
    return arguments.checked(
        SubmitJob,
        repository=arguments.repository_path(path, fields["name"]),
        steps=arguments.step_names(steps),
        options=arguments.options(option or ()),
        step_options=arguments.step_options(step_option or ()),
        dependencies=arguments.dependencies(dependency or ()),
        resources=tuple(resource or ()),
        pipeline=_pipeline(_config(config), screen),
        **fields,
    )


def _plan(request: SubmitJob, config: Path | None, screen: Console, *, how: mounts.How, as_json: bool) -> None:
    with reach.running_or_started(_config(config), screen) as client:
        seen, why = mounts.place(request.repository, how, screen, change=False)
        request = request.model_copy(update={"repository": seen})
        with mounts.explained(why):
            planned = reach.with_new_steps(lambda: client.plan(request), screen)
    dry_run_of.show(planned, as_json=as_json)


def _begin(
    request: SubmitJob,
    config: Path | None,
    screen: Console,
    *,
    how: mounts.How,
    upload: bool,
    wait: bool | None,
    as_json: bool,
) -> None:
    later = request.eta is not None or request.countdown is not None
    if upload and not Path(request.repository).is_absolute():
        raise BadUse("--upload sends a folder of this machine; a git address the service fetches itself.")
    with reach.running_or_started(_config(config), screen) as client:
        request = request.model_copy(update={"after": _whole(client, request.after)})
        if upload:
            seen, why = uploads.sent(client, request.repository, request.name, screen), ""
        else:
            seen, why = mounts.place(request.repository, how, screen)
        request = request.model_copy(update={"repository": seen})
        with mounts.explained(why):
            job = reach.with_new_steps(lambda: client.submit(request), screen)
        if wait or (wait is None and not later):
            screen.print(f"Job {plain(job.id)}: {plain(job.repository.name)}", soft_wrap=True)
            follow.to_its_end(client, job, screen, as_json=as_json)
    follow.left(job, screen, as_json=as_json)


def _whole(client: Client, typed: tuple[str, ...]) -> tuple[str, ...]:
    """The ids of jobs that may be named by how they begin."""
    return tuple(arguments.find_job(client, job).id for job in typed)


def _config(named: Path | None) -> Path | None:
    return named or (OWN_CONFIG if OWN_CONFIG.is_file() else None)


def _pipeline(config: Path | None, screen: Console) -> PipelineConfig | None:
    if config is None:
        return None
    screen.print(f"Pipeline: {plain(config)}", soft_wrap=True)
    from codestory import pipeline_file  # noqa: PLC0415 - YAML is loaded where there is some to be read

    return pipeline_file.load(config)
