"""Waits until a stack answers; one that does not is named, with the end of its log."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from codestory.local.errors import NotReady
from codestory.local.launcher import last_words, running, supervisor_gone
from codestory.local.paths import StatePaths
from codestory.local.plan import Plan
from codestory.local.record import ProcessRecord, StackRecord
from codestory.local.services import ORCHESTRATOR, step_of

#: A process that has died so often in a row will not come up by waiting.
HOPELESS = 3
#: How long one question to the REST API may take; seconds.
ANSWER = 5.0

Say = Callable[[str], None]


@contextmanager
def rest(url: str) -> Generator[httpx.Client]:
    """The REST API of a stack on this machine: no proxy stands between."""
    with httpx.Client(base_url=url, timeout=ANSWER, trust_env=False) as client:
        yield client


def answers(url: str) -> bool:
    """Whether the service is ready now."""
    with rest(url) as client:
        return _unready(client) == ""


def wait_ready(paths: StatePaths, plan: Plan, *, seconds: float, poll: float, say: Say) -> None:
    """Until every process runs, the API is ready and every step has a worker."""
    waiting = _Waiting(paths, plan, say)
    until = time.monotonic() + seconds
    with rest(plan.url) as client:
        while (missing := waiting.look(client)) is not None:
            if time.monotonic() > until:
                raise missing.error(paths, f"is not ready after {seconds:.0f} s")
            time.sleep(poll)


@dataclass(frozen=True, slots=True)
class Missing:
    """What is still awaited: of which process, and what it says about it."""

    process: str
    detail: str = ""

    def error(self, paths: StatePaths, what: str) -> NotReady:
        detail = f" ({self.detail})" if self.detail else ""
        return NotReady(self.process, f"{self.process} {what}{detail}\n{last_words(paths.log(self.process))}")


class _Waiting:
    def __init__(self, paths: StatePaths, plan: Plan, say: Say) -> None:
        self._paths = paths
        self._plan = plan
        self._say = say
        self._said: set[str] = set()
        self._since = time.monotonic()

    def look(self, client: httpx.Client) -> Missing | None:
        record = running(self._paths)
        if record is None or record.stopping:
            raise supervisor_gone(self._paths)
        if record.revision < self._plan.revision:
            return Missing("supervisor")
        for process in record.processes:
            self._look_at(process)
        for process in record.processes:
            if process.state != "running":
                return Missing(process.name, process.state)
        return self._ask(client, record)

    def _look_at(self, process: ProcessRecord) -> None:
        if process.failures >= HOPELESS:
            raise Missing(process.name, f"exit code {process.exit_code}").error(self._paths, "keeps ending")
        if process.state == "running" and step_of(process.name) is None and process.name != ORCHESTRATOR:
            self._tell(process.name)

    def _ask(self, client: httpx.Client, record: StackRecord) -> Missing | None:
        if detail := _unready(client):
            return Missing(ORCHESTRATOR, detail)
        self._tell(ORCHESTRATOR)
        served = _served(client)
        missing = None
        for process in record.processes:
            step = step_of(process.name)
            if step in served:
                self._tell(process.name)
            elif step is not None:
                missing = missing or Missing(process.name, "it has not announced itself")
        return missing

    def _tell(self, name: str) -> None:
        if name not in self._said:
            self._said.add(name)
            self._say(f"{name}: ready after {time.monotonic() - self._since:.1f} s")


def _unready(client: httpx.Client) -> str:
    """Why the API is not ready; empty when it is."""
    try:
        answer = client.get("/readyz")
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return "" if answer.is_success else answer.text[:300]


def _served(client: httpx.Client) -> set[str]:
    """The steps that have a worker."""
    try:
        answer = client.get("/v1/ingest/steps").raise_for_status()
        return {str(step["name"]) for step in answer.json()["steps"] if step["workers"] >= 1}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return set()
