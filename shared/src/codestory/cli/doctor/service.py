"""The service: whether it answers, as what version, whom it knows, and how it is itself."""

from collections.abc import Iterator
from importlib import metadata

from codestory import local
from codestory.cli import reach
from codestory.cli.doctor.findings import Finding, fail, ok, warn
from codestory.cli.settings import CliSettings
from codestory.client import Client, CodeStoryError, Forbidden, Patience, Unauthorized
from codestory.contracts.api import Check, Health, StepStatus

MENDS = {
    "nats": "codestory service logs nats",
    "jetstream": "codestory service logs nats",
    "graph": "codestory service logs graph",
    "pipeline_config": "mend the pipeline file that `codestory service status` names",
    "dead_letters": "codestory service logs orchestrator",
}
#: Each has a line of its own, by what the steps say.
WORKERS = "workers:"


def look(settings: CliSettings, stack: local.LocalSettings) -> Iterator[Finding]:
    url = local.service_url(stack)
    if url is None:
        yield _none(stack)
        return
    with reach.client(url, timeout=settings.doctor_seconds, patience=Patience(retries=0)) as client:
        try:
            yield from _ask(client, named=stack.url is not None)
        except (Forbidden, Unauthorized) as error:
            yield _forbidden(error)
        except CodeStoryError as error:
            mend = (
                "check CODESTORY_URL" if stack.url else "codestory service status; codestory service logs orchestrator"
            )
            yield fail("service", str(error), mend)


def _none(stack: local.LocalSettings) -> Finding:
    if local.find(stack) is not None:
        return warn("service", "it is coming up", "codestory service start (waits until everything answers)")
    return warn("service", "none runs here", "codestory service start, or name one: CODESTORY_URL=http://host:port")


def _ask(client: Client, *, named: bool) -> Iterator[Finding]:
    health = client.health()
    yield _version(client, health)
    yield from (_check(name, check) for name, check in health.checks.items() if not name.startswith(WORKERS))
    steps = client.steps()  # health is told to everybody
    yield ok("access", "it answers to you")
    if not steps:
        yield warn("workers", "no step has registered", "codestory service start")
    yield from (_workers(step, named=named) for step in steps)


def _version(client: Client, health: Health) -> Finding:
    mine = metadata.version("codestory")
    if health.version == mine:
        return ok("service", f"{client.url} answers, version {health.version}")
    return warn(
        "service",
        f"{client.url} is Code Story {health.version}, this is {mine}",
        f"have the same version here and there: in a clone, check out that of {health.version}, then make up",
    )


def _check(name: str, check: Check) -> Finding:
    match check.status:
        case "pass":
            return ok(name, check.detail or "in order")
        case "warn":
            return warn(name, check.detail or _observed(check), MENDS.get(name, ""))
        case "fail":
            return fail(name, check.detail or _observed(check), MENDS.get(name, ""))


def _observed(check: Check) -> str:
    return ", ".join(f"{name} {value}" for name, value in check.observed.items()) or "not in order"


def _workers(step: StepStatus, *, named: bool) -> Finding:
    name = f"step {step.name}"
    if step.workers:
        return ok(name, f"workers {step.workers:,}, running {step.running:,}, waiting {step.waiting:,}")
    mend = f"start one there: codestory-step {step.name}" if named else "codestory service start"
    if step.waiting or step.running:
        return fail(name, f"no worker, and {step.waiting + step.running:,} wait for one", mend)
    return warn(name, "no worker", mend)


def _forbidden(error: Forbidden | Unauthorized) -> Finding:
    if error.status == 401:
        return fail("access", str(error), "give a key of yours: CODESTORY_API_KEY=…; see: codestory auth --help")
    return fail("access", str(error), "ask for a key with more rights; see: codestory auth --help")
