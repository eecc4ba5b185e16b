"""`codestory ingest`: start, status, jobs, watch, cancel."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from codestory import pipeline_file
from codestory.cli import arguments, reach, render
from codestory.cli.exits import Exit
from codestory.cli.following import Newest, display
from codestory.cli.screen import err, out, write_json
from codestory.cli.settings import CliSettings, read
from codestory.cli.text import plain
from codestory.client import Client, CodeStoryError
from codestory.contracts.api import JobList, JobView
from codestory.contracts.plans import PipelineConfig
from codestory.contracts.values import JobState, Priority

#: Taken from the folder where the command is given, if it is there.
OWN_CONFIG = Path("pipeline_config.yml")

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Job = Annotated[str, typer.Argument(metavar="JOB", help="The id of the job, or how it begins.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout, and nothing else there.")]


@app.command()
def start(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The folder of the repository.", show_default=False)],
    *,
    name: Annotated[str | None, typer.Option(help="Its name in the graph. Otherwise from its git remote.")] = None,
    steps: Annotated[str, typer.Option(metavar="A,B", help="Only these steps, in the pipeline's order.")] = "",
    priority: Annotated[Priority, typer.Option(help="Which jobs go first.")] = Priority.DEFAULT,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="For every step that has this option.")
    ] = None,
    step_option: Annotated[list[str] | None, typer.Option(metavar="STEP.KEY=VALUE", help="For one step.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The pipeline. Otherwise ./pipeline_config.yml, or the service's own."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--detach", help="Follow the job to its end.")] = True,
    as_json: AsJson = False,
) -> None:
    """Ingest a repository. Starts the embedded stack if no service runs."""
    screen = err()
    config = config or (OWN_CONFIG if OWN_CONFIG.is_file() else None)
    request = arguments.request(
        repository=arguments.repository_path(path, name),
        name=name,
        steps=arguments.step_names(steps),
        priority=priority,
        options=arguments.options(option or ()),
        step_options=arguments.step_options(step_option or ()),
        pipeline=_pipeline(config, screen),
    )
    with reach.running_or_started(config, screen) as client:
        job = reach.submitted(client, request, screen)
        if wait:
            screen.print(f"Job {plain(job.id)}: {plain(job.repository.name)}", soft_wrap=True)
            _close(_followed(client, job.id, screen), screen, as_json=as_json)
    _detached(job, screen, as_json=as_json)


@app.command()
def status(job: Job, as_json: AsJson = False) -> None:
    """Show a job as it is now."""
    with reach.running() as client:
        found = arguments.find_job(client, job)
    if as_json:
        write_json(found)
    else:
        render.job(out(), found)


@app.command()
def jobs(
    as_json: AsJson = False,
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
def watch(job: Job) -> None:
    """Follow a job to its end."""
    screen = err()
    with reach.running() as client:
        found = arguments.find_job(client, job)
        _close(_followed(client, found.id, screen), screen, as_json=False)


@app.command()
def cancel(job: Job, as_json: AsJson = False) -> None:
    """End a job. What its finished steps wrote stays in the graph."""
    with reach.running() as client:
        cancelled = client.cancel(arguments.find_job(client, job).id)
    if as_json:
        write_json(cancelled)
    elif cancelled.state is JobState.CANCELLED:
        out().print(f"Job {plain(cancelled.id)} is cancelled.", soft_wrap=True)
    else:
        out().print(f"Job {plain(cancelled.id)} is being cancelled: its step is told to end.", soft_wrap=True)


def _pipeline(config: Path | None, screen: Console) -> PipelineConfig | None:
    if config is None:
        return None
    screen.print(f"Pipeline: {plain(config)}", soft_wrap=True)
    return pipeline_file.load(config)


def _followed(client: Client, job_id: str, screen: Console) -> JobView:
    """The job as it ended. It goes on when the person, or the service, leaves."""
    newest, every = Newest(), read(CliSettings).progress_seconds
    try:
        with display(screen, every) as shown, closing(client.watch(job_id)) as messages:
            for message in messages:
                if (job := newest.hear(message)) is not None:
                    shown.show(job)
    except (KeyboardInterrupt, CodeStoryError) as left:
        render.while_away(screen, job_id)
        if isinstance(left, KeyboardInterrupt):
            raise typer.Exit(Exit.INTERRUPTED) from left
        raise
    return newest.job or client.get(job_id)


def _close(ended: JobView, screen: Console, *, as_json: bool) -> None:
    render.summary(screen, ended)
    if as_json:
        write_json(ended)
    raise typer.Exit(render.exit_of(ended))


def _detached(job: JobView, screen: Console, *, as_json: bool) -> None:
    """The id alone on stdout, for scripts."""
    if as_json:
        write_json(job)
    else:
        out().print(plain(job.id), soft_wrap=True)
    render.while_away(screen, job.id)
