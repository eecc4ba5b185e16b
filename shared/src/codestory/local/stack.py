"""The embedded stack as programs use it: find it, start it, stop it."""

import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from codestory.local import graph, launcher, nats, services
from codestory.local.discovery import discover
from codestory.local.errors import AnotherVersion, BadSetting, NotReady
from codestory.local.idleness import unfinished
from codestory.local.launcher import Receipt, exclusive
from codestory.local.paths import StatePaths, state_paths
from codestory.local.plan import GraphAddress, Plan
from codestory.local.planning import changed_plan, new_plan, version
from codestory.local.readiness import Say, answers, wait_ready
from codestory.local.record import StackRecord
from codestory.local.settings import LocalSettings
from codestory.local.versions import newer, sign

__all__ = ["Neo4jAccess", "Receipt", "Stack", "find", "service", "service_url", "start", "stop"]

#: The parts without which nothing can be ingested: a start that fails for one of them is taken back.
CORE = ("supervisor", nats.NAME, graph.NAME, services.ORCHESTRATOR)


@dataclass(frozen=True, slots=True)
class Neo4jAccess:
    """How to reach the graph over Bolt."""

    uri: str
    user: str
    password: str = field(repr=False)
    database: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that runs. `url`: the base of its REST API. `found`: it ran already when it was asked for."""

    url: str
    version: str
    started_at: datetime
    state_dir: Path
    config: Path
    nats_url: str
    neo4j: Neo4jAccess
    found: bool = True


def find(settings: LocalSettings | None = None) -> Stack | None:
    """The stack that runs on this machine for this user. It may still be coming up."""
    settings = settings or LocalSettings.read()
    paths = state_paths(settings.state_dir)
    record = launcher.running(paths)
    return None if record is None or record.stopping else _stack(paths, record, settings)


def service_url(settings: LocalSettings | None = None) -> str | None:
    """Where the REST API is: CODESTORY_URL, else the running stack's. None while a stack is still coming up: `start`
    then waits for it."""
    settings = settings or LocalSettings.read()
    if settings.url:
        return settings.url.rstrip("/")
    stack = find(settings)
    if stack is None:
        return None
    age = datetime.now(UTC) - stack.started_at
    coming_up = age.total_seconds() < settings.local_start_seconds and not answers(stack.url)
    return None if coming_up else stack.url


def service(
    config: Path | None = None, *, on_progress: Say | None = None, settings: LocalSettings | None = None
) -> str:
    """Where the REST API is. The stack is started if none runs, and takes the place of another version's as `start`
    does."""
    settings = settings or LocalSettings.read()
    if settings.url:
        return settings.url.rstrip("/")
    stack = find(settings)
    ours = stack is not None and stack.version == version()
    url = service_url(settings) if ours else None
    return url or start(config, on_progress=on_progress, settings=settings).url


def start(
    config: Path | None = None,
    *,
    wait: bool = True,
    on_progress: Say | None = None,
    settings: LocalSettings | None = None,
) -> Stack:
    """Start the stack, or find the one that runs and start the services of steps installed since.

    An older version's stack that is idle is ended, and this one goes on with its state: jobs, graph, ports.
    AnotherVersion if it has unfinished jobs, or is a newer one.

    `config`: the pipeline file; otherwise the one of CODESTORY_PIPELINE_CONFIG, ./pipeline_config.yml, a default one in
    the state directory. A running stack keeps its own unless one is given here. Without `wait` it may not answer yet
    when this returns."""
    settings = settings or LocalSettings.read()
    say = on_progress or _silent
    paths = state_paths(settings.state_dir)
    with exclusive(paths, settings.local_start_seconds):
        record = _usable(paths, settings)
        if record is not None and record.version != version():
            config = config or _still_there(record.config)
            _make_way(paths, record, settings, say)
            record = None
        if found := record is not None:
            say(f"found Code Story {record.version} running: {record.url}")
            running = Plan.read(paths.plan)
            plan = changed_plan(running, config, discover(running.python))
            launcher.change(paths, record, plan)
        else:
            sign(paths)
            say(f"starting Code Story {version()}, state in {paths.root}")
            plan = new_plan(paths, config, settings, discover(sys.executable))
            record = launcher.launch(paths, plan)
    if wait:
        _wait(paths, plan, settings, say, take_back=not found)
    return _stack(paths, record, settings, config=plan.config, found=found)


def stop(settings: LocalSettings | None = None) -> Receipt:
    """End the stack. No process of it is left, not even of one whose supervisor was killed; its data stay."""
    settings = settings or LocalSettings.read()
    paths = state_paths(settings.state_dir)
    if not paths.root.exists():
        return Receipt(was_running=False)
    with exclusive(paths, settings.local_start_seconds):
        record = launcher.running(paths)
        if record is not None:
            return launcher.finish(paths, record)
        return Receipt(was_running=False, killed=tuple(launcher.tidy(paths, settings.local_stop_grace_seconds)))


def _usable(paths: StatePaths, settings: LocalSettings) -> StackRecord | None:
    """The running stack, if it can be used. One that is ending is waited for; another one must be ended by the user."""
    record = launcher.running(paths)
    if record is None:
        return None
    if record.stopping:
        launcher.finish(paths, record)
        return None
    if newer(record.version, version()):
        raise AnotherVersion(
            f"{_named(record)}, this is {version()}, which is older: install Code Story {record.version} here too, "
            "or use another state directory: CODESTORY_STATE_DIR=/another/directory"
        )
    for name, wished, used in (
        ("CODESTORY_NATS_URL", settings.nats_url, record.nats_url),
        ("CODESTORY_NEO4J_URI", settings.neo4j_uri, record.graph.uri),
        ("CODESTORY_PORT", settings.port, record.ports.get("rest")),
    ):
        if wished is not None and wished != used:
            raise BadSetting(
                f"{name} is {wished}, but the stack that runs uses {used}; "
                "to run with the new one: codestory service stop && codestory service start"
            )
    return record


def _make_way(paths: StatePaths, record: StackRecord, settings: LocalSettings, say: Say) -> None:
    """End another version's stack, if that interrupts nothing and its jobs and its graph are found again."""
    for name, wished, own, used in (
        ("CODESTORY_NATS_URL", settings.nats_url, "nats" in record.ports, record.nats_url),
        ("CODESTORY_NEO4J_URI", settings.neo4j_uri, "bolt" in record.ports, record.graph.uri),
    ):
        if own != (wished is None):
            to_have = f"unset {name}" if own else f"set {name}={used}"
            raise BadSetting(f"{_named(record)} and uses {used}: to go on with what it has stored, {to_have}")
    jobs = unfinished(record.url)
    if jobs != 0:
        what = "does not tell whether it has unfinished jobs" if jobs is None else f"has unfinished jobs ({jobs:,})"
        raise AnotherVersion(
            f"{_named(record)}, this is {version()}. It {what}. Wait until they have ended (codestory ingest jobs), "
            "or let this version go on with them: codestory service stop && codestory service start"
        )
    say(f"Code Story {record.version} is running and idle: {version()} takes its place, jobs and graph are kept")
    launcher.finish(paths, record)


def _named(record: StackRecord) -> str:
    return f"Code Story {record.version} is running ({record.url}, started by {record.python})"


def _still_there(config: str) -> Path | None:
    """The pipeline file of the stack that was ended goes on to be used, unless another one is given."""
    return Path(config) if Path(config).is_file() else None


def _wait(paths: StatePaths, plan: Plan, settings: LocalSettings, say: Say, *, take_back: bool) -> None:
    started = time.monotonic()
    try:
        wait_ready(paths, plan, seconds=settings.local_start_seconds, poll=settings.local_poll_seconds, say=say)
    except NotReady as error:
        if take_back and error.process in CORE:
            stop(settings)
        raise
    say(f"ready after {time.monotonic() - started:.1f} s")


def _stack(
    paths: StatePaths, record: StackRecord, settings: LocalSettings, *, config: str = "", found: bool = True
) -> Stack:
    return Stack(
        url=record.url,
        version=record.version,
        started_at=datetime.fromtimestamp(record.started_at, UTC),
        state_dir=paths.root,
        config=Path(config or record.config),
        nats_url=record.nats_url,
        neo4j=_access(record.graph, settings),
        found=found,
    )


def _access(address: GraphAddress, settings: LocalSettings) -> Neo4jAccess:
    secret = settings.neo4j_password.get_secret_value()
    if address.password_file:
        try:
            secret = Path(address.password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadSetting(f"the graph's password cannot be read: {error}") from error
    return Neo4jAccess(address.uri, address.user, secret, address.database)


def _silent(said: str) -> None:
    """For callers that do not want to hear how it goes."""
