"""A supervisor of real processes in a state directory of its own; the test fails when one of them outlives it."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from codestory.local import launcher
from codestory.local.paths import StatePaths, state_paths
from codestory.local.plan import Pace, Plan, ProcessSpec
from codestory.local.processes import Member
from codestory.local.record import ProcessRecord, StackRecord

#: Processes that are watched in these tests come up within this time even on a busy machine; seconds.
PATIENCE = 60
PACE = Pace(stop_grace=2, restart=0.05, restart_max=0.2, restart_stable=60, look=0.2)


class Stand:
    """Launches plans, looks at what runs, tidies up."""

    def __init__(self, root: Path) -> None:
        self.paths: StatePaths = state_paths(root)
        self.paths.make()
        self.plan = Plan("1.0", "", ())
        self._seen: set[Member] = set()

    def launch(self, *processes: ProcessSpec, python: str, pace: Pace = PACE) -> StackRecord:
        self.plan = Plan("1.0", python, processes, pace=pace)
        return self.relaunch()

    def relaunch(self) -> StackRecord:
        """As `start` does it."""
        with launcher.exclusive(self.paths, PATIENCE):
            record = launcher.launch(self.paths, self.plan)
        self.record()
        return record

    def change(self, *processes: ProcessSpec) -> None:
        self.plan = replace(self.plan, processes=processes, revision=self.plan.revision + 1)
        launcher.change(self.paths, self.record(), self.plan)
        self.until(lambda: self.record().revision == self.plan.revision, "the plan is carried out")

    def stop(self) -> launcher.Receipt:
        return launcher.finish(self.paths, self.record())

    def record(self) -> StackRecord:
        record = StackRecord.read(self.paths.record)
        assert record is not None
        self._seen.add(Member(record.pid, record.identity))
        self._seen.update(Member(process.pid, process.identity) for process in record.processes)
        return record

    def process(self, name: str) -> ProcessRecord:
        return next(process for process in self.record().processes if process.name == name)

    def running(self, name: str) -> ProcessRecord:
        self.until(lambda: self.process(name).state == "running", f"{name} runs")
        return self.process(name)

    def until(self, true: Callable[[], bool], what: str, limit: float = PATIENCE) -> None:
        end = time.monotonic() + limit
        while not true():
            assert time.monotonic() < end, f"not within {limit} s: {what}\n{self.said('supervisor')}"
            time.sleep(0.02)

    def said(self, name: str) -> str:
        try:  # not exists() first: between the two the file may be rotated away
            return self.paths.log(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def left(self) -> Sequence[Member]:
        """Processes that were seen and still live."""
        return [member for member in self._seen if member.alive]

    def close(self) -> None:
        if self.paths.record.exists():
            self.stop()
        left = self.left()
        for member in left:
            member.send(signal.SIGKILL)
        assert not left


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path / "state")
    yield stand
    stand.close()
