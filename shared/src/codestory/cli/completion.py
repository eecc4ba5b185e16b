"""What the shell offers: jobs and steps of the running service. Quick, and silent when there is none."""

from codestory import local
from codestory.cli import reach
from codestory.cli.exits import CliError
from codestory.cli.settings import CliSettings, read
from codestory.client import Client, CodeStoryError, Patience
from codestory.local.errors import LocalError

#: As many as a person still reads.
OFFERED = 50

Offer = list[tuple[str, str]]


def jobs(incomplete: str) -> Offer:
    """The newest jobs whose id begins so, with repository and state."""
    try:
        with _client() as client:
            found = client.jobs(limit=200)
    except (CliError, LocalError, CodeStoryError):
        return []
    begun = [job for job in found if job.id.startswith(incomplete)]
    return [(job.id, f"{job.repository.name} {job.state}") for job in begun[:OFFERED]]


def steps(incomplete: str) -> Offer:
    """The steps that there are."""
    try:
        with _client() as client:
            found = client.steps()
    except (CliError, LocalError, CodeStoryError):
        return []
    return [(step.name, f"version {step.version}") for step in found if step.name.startswith(incomplete)]


def step_list(incomplete: str) -> Offer:
    """The last of several, `a,b`."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [(f"{before}{comma}{name}", about) for name, about in steps(last) if name not in taken]


def _client() -> Client:
    """Whoever presses a key waits for one short answer, not for a stack to come up."""
    url = local.service_url()
    if url is None:
        raise CliError
    return reach.client(url, timeout=read(CliSettings).completion_seconds, patience=Patience(retries=0))
