"""`codestory ingest`: start, update and schedule; look at jobs; control them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from codestory import pipeline_file
from codestory.cli import arguments, control, flags, follow, moments, reach, render, schedules
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
    wait: flags.Wait = None,
    as_json: flags.AsJson = False,
) -> None:
    """Ingest a repository. Starts the embedded stack if no service runs."""
    if when is not When.SUCCESS and not after:
        raise BadUse("--when is about the jobs of --after; name them.")
    screen = err()
    request = _request(
        path,
        config,
        screen,
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
    _begin(request, config, screen, wait=wait, as_json=as_json)


@app.command()
def update(
    path: flags.Repository,
    *,
    name: flags.Name = None,
    steps: flags.Steps = "",
    priority: flags.JobPriority = Priority.DEFAULT,
    option: flags.Option = None,
    step_option: flags.StepOption = None,
    config: flags.Config = None,
    wait: flags.Wait = None,
    as_json: flags.AsJson = False,
) -> None:
    """Ingest what has changed since the last time. Of one step alone (--steps), the others' part stays as it is."""
    screen = err()
    request = _request(
        path,
        config,
        screen,
        name=name,
        steps=steps,
        mode=Mode.UPDATE,
        priority=priority,
        option=option,
        step_option=step_option,
    )
    _begin(request, config, screen, wait=wait, as_json=as_json)


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
    as_json: flags.AsJson = False,
) -> None:
    """Ingest a repository again and again. See: codestory ingest schedules"""
    screen = err()
    job = _request(
        path,
        config,
        screen,
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
    with reach.running_or_started(_config(config), screen) as client:
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
    step: Annotated[str, typer.Argument(metavar="STEP", help="The name of the step.", show_default=False)],
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
    as_json: flags.AsJson = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 20,
) -> None:
    """List the newest jobs."""
    with reach.running() as client:
        listed = client.jobs(limit=limit)
    if as_json:
        write_json(JobList(jobs=listed))
    else:
        render.jobs(out(), listed)


@app.command()
def watch(job: flags.Job) -> None:
    """Follow a job to its end."""
    screen = err()
    with reach.running() as client:
        follow.to_its_end(client, arguments.find_job(client, job), screen, as_json=False)


for verb in (control.why, control.cancel, control.stop, control.resume, control.retry, control.prioritise):
    app.command()(verb)
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


def _begin(request: SubmitJob, config: Path | None, screen: Console, *, wait: bool | None, as_json: bool) -> None:
    later = request.eta is not None or request.countdown is not None
    with reach.running_or_started(_config(config), screen) as client:
        request = request.model_copy(update={"after": _whole(client, request.after)})
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
    return pipeline_file.load(config)
