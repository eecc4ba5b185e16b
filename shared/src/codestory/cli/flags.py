"""What can be said of a request on the command line, the same for every command that makes one."""

from pathlib import Path
from typing import Annotated

import typer

from codestory.cli import completion
from codestory.contracts.values import OnFull, Priority, When

Repository = Annotated[
    str, typer.Argument(metavar="PATH", help="The folder of the repository, or its git address.", show_default=False)
]
Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="The id of the job, or how it begins.", show_default=False, autocompletion=completion.jobs
    ),
]
Name = Annotated[str | None, typer.Option(help="Its name in the graph. Otherwise from its git remote.")]
Steps = Annotated[
    str,
    typer.Option(metavar="A,B", help="Only these steps, in the pipeline's order.", autocompletion=completion.step_list),
]
Ref = Annotated[str | None, typer.Option(metavar="REF", help="Of a git address: branch, tag or commit.")]
Credential = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Of a git address: the secret at the service that opens it."),
]
Submodules = Annotated[
    bool, typer.Option("--submodules", help="Of a git address: its submodules too, if the service fetches any.")
]
Upload = Annotated[bool, typer.Option("--upload", help="Send the files to the service, which cannot read this folder.")]
AutoMount = Annotated[
    bool,
    typer.Option(
        "--auto-mount/--no-auto-mount",
        help="Have a service in containers on this machine see the folder: it is mounted there if it must be.",
    ),
]
PathPrefix = Annotated[
    str,
    typer.Option(metavar="FOLDER", help="Below which the containers see what is mounted. Otherwise /repositories."),
]
Container = Annotated[
    str, typer.Option(metavar="NAME", help="The orchestrator's container, if its address does not tell which it is.")
]
Debug = Annotated[
    bool, typer.Option("--debug", help="When the containers are at fault, print all that can be known of them.")
]
JobPriority = Annotated[Priority, typer.Option(help="Which jobs go first.")]
Option = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="For every step that has this option.")]
StepOption = Annotated[list[str] | None, typer.Option(metavar="STEP.KEY=VALUE", help="For one step.")]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The pipeline. Otherwise ./pipeline_config.yml, or the service's own."),
]
Dependency = Annotated[
    list[str] | None,
    typer.Option(metavar="STEP=A,B", help="What a step waits for, instead of what the pipeline says. STEP= : nothing."),
]
Resource = Annotated[
    list[str] | None, typer.Option(metavar="TAG", help="Each step holds one of this while it runs: gpu.")
]
Eta = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Not before: 2026-12-01T03:00+01:00, or 03:00. Without a zone: this machine's."),
]
Countdown = Annotated[str | None, typer.Option(metavar="TIME", help="Not before so long from now: 90s, 10m, 1h30m.")]
After = Annotated[
    list[str] | None,
    typer.Option(metavar="JOB", help="Not before this job has completed.", autocompletion=completion.jobs),
]
JobWhen = Annotated[When, typer.Option(help="always: not before the jobs of --after have ended, however they end.")]
JobOnFull = Annotated[OnFull, typer.Option(help="fail: refuse the job unless its first step can start at once.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Start nothing; show the steps, their options, the files and the time.")
]
Wait = Annotated[
    bool | None,
    typer.Option("--wait/--detach", help="Follow the job to its end. The default, unless it is due later."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout, and nothing else there.")]
