"""The embedded stack as programs use it: find it, start it, stop it."""

import importlib.metadata
import importlib.resources
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from codestory.local import graph, launcher, nats, services
from codestory.local.discovery import discover
from codestory.local.errors import AnotherVersion, BadSetting, NotReady
from codestory.local.launcher import Receipt, exclusive
from codestory.local.passwords import password
from codestory.local.paths import StatePaths, state_paths
from codestory.local.plan import GraphAddress, Pace, Plan, ProcessSpec
from codestory.local.ports import LOOPBACK, choose
from codestory.local.readiness import answers, wait_ready
from codestory.local.record import StackRecord
from codestory.local.settings import LocalSettings

__all__ = ["Neo4jAccess", "Receipt", "Stack", "find", "service_url", "start", "stop"]

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


def start(
    config: Path | None = None,
    *,
    wait: bool = True,
    on_progress: Callable[[str], None] | None = None,
    settings: LocalSettings | None = None,
) -> Stack:
    """Start the stack, or find the one that runs and start the services of steps installed since.

    `config`: the pipeline file; otherwise ./pipeline_config.yml, otherwise a default one in the state directory. A
    running stack keeps its own unless one is given here. Without `wait` it may not answer yet when this returns."""
    settings = settings or LocalSettings.read()
    say = on_progress or _silent
    paths = state_paths(settings.state_dir)
    with exclusive(paths, settings.local_start_seconds):
        record = _running(paths, settings)
        if record is None:
            plan = _new_plan(paths, _config(paths, config), settings)
            launched = launcher.launch(paths, plan)
        else:
            plan = _changed_plan(paths, record, config)
            launcher.change(paths, record, plan)
            launched = record
    stack = replace(_stack(paths, launched, settings), config=Path(plan.config), found=record is not None)
    say(f"{'found running' if stack.found else 'starting'}: Code Story {stack.version}, {stack.url}")
    if wait:
        _wait(paths, plan, settings, say, take_back=not stack.found)
    return stack


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
        killed = launcher.tidy(paths, settings.local_stop_grace_seconds)
        return Receipt(was_running=False, killed=tuple(killed))


def _running(paths: StatePaths, settings: LocalSettings) -> StackRecord | None:
    """The stack to use. One that is ending is waited for, another version's is not used."""
    record = launcher.running(paths)
    if record is not None and record.stopping:
        launcher.finish(paths, record)
        return None
    if record is not None and record.version != _version():
        raise AnotherVersion(
            f"Code Story {record.version} is running ({record.url}, started by {record.python}), this is {_version()}; "
            "to run this one: codestory service stop && codestory service start"
        )
    return record


def _wait(paths: StatePaths, plan: Plan, settings: LocalSettings, say: Callable[[str], None], *, take_back: bool) -> None:
    started = time.monotonic()
    try:
        wait_ready(paths, plan, seconds=settings.local_start_seconds, poll=settings.local_poll_seconds, say=say)
    except NotReady as error:
        if take_back and error.process in CORE:
            stop(settings)
        raise
    say(f"ready after {time.monotonic() - started:.1f} s")


def _new_plan(paths: StatePaths, config: Path, settings: LocalSettings) -> Plan:
    ports = _ports(paths, settings)
    own, env, graph_address = [], {}, GraphAddress("", "", "")
    return Plan(
        version=_version(),
        python=sys.executable,
        processes=(),
    )


def _silent(said: str) -> None:
    """For callers that do not want to hear how it goes."""
