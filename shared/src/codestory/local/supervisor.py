"""Keeps the processes of a plan running: `python -m codestory.local.supervisor STATE_DIRECTORY` detaches and stays.

SIGHUP: the plan has changed, carry out the difference. SIGTERM: end everything, services before servers. It knows no
more of the stack than the plan says and imports little, because it is there as long as the stack is."""

import asyncio
import logging
import logging.handlers
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from logging import Logger
from pathlib import Path

from filelock import FileLock, Timeout

from codestory import cancelling
from codestory.local import processes
from codestory.local.child import Child
from codestory.local.files import OWNER_ONLY
from codestory.local.parentage import adopt_orphans
from codestory.local.paths import StatePaths
from codestory.local.plan import SERVERS, SERVICES, Pace, Plan
from codestory.local.record import StackRecord

#: Exit codes of the command.
UP, REFUSED = 0, 3


class Supervisor:
    """One stack's processes, from the first start to the last end."""

    def __init__(self, paths: StatePaths, plan: Plan, say: Logger) -> None:
        self._paths = paths
        self._plan = plan
        self._say = say
        pid = os.getpid()
        self._record = StackRecord.of(plan, pid=pid, identity=processes.identity(pid), started_at=time.time())
        self._children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._replan = False
        self._stop = False

    async def run(self, announce: Callable[[], None]) -> None:
        """Until SIGTERM, or until the state directory is taken away. Announces that the record is written."""
        self._listen()
        await self._carry_out(self._plan)
        announce()
        try:
            while not self._stop:
                await self._next()
        finally:
            await self._end_all()

    async def _next(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), self._plan.pace.look)
        self._news.clear()
        self._check_state()
        if self._replan and not self._stop:
            self._replan = False
            try:
                plan = Plan.read(self._paths.plan)
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._say.warning("plan.unreadable error=%s", error)
            else:
                await self._carry_out(plan)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_stop)
        loop.add_signal_handler(signal.SIGHUP, self._ask_replan)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def _ask_stop(self) -> None:
        self._stop = True
        self._news.set()

    def _ask_replan(self) -> None:
        self._replan = True
        self._news.set()

    def _check_state(self) -> None:
        """Whoever removes the state directory has ended the stack."""
        if not self._stop and not self._owns_state():
            self._say.warning("state.gone path=%s", self._paths.record)
            self._ask_stop()

    def _owns_state(self) -> bool:
        written = StackRecord.read(self._paths.record)
        return written is not None and (written.pid, written.identity) == (self._record.pid, self._record.identity)

    async def _carry_out(self, plan: Plan) -> None:
        """End what is no longer wanted as it is, start what is new, and try again at once what keeps dying."""
        wanted = {spec.name: spec for spec in plan.processes}
        unwanted = [child for child in self._children.values() if wanted.get(child.spec.name) != child.spec]
        await self._end(unwanted)
        for child in unwanted:
            del self._children[child.spec.name], self._tasks[child.spec.name]
        self._plan = plan
        mine = self._record
        self._record = StackRecord.of(plan, pid=mine.pid, identity=mine.identity, started_at=mine.started_at)
        for child in self._children.values():
            child.hurry()
        for name, spec in wanted.items():
            if name not in self._children:
                log = self._paths.log(name)
                self._add(Child(spec, pace=plan.pace, log=log, changed=self._write, say=self._say))
        self._write()

    def _add(self, child: Child) -> None:
        name = child.spec.name
        self._children[name] = child
        self._tasks[name] = asyncio.create_task(self._keep(child), name=name)
        self._tasks[name].add_done_callback(self._kept)

    async def _keep(self, child: Child) -> None:
        if child.spec.stage == SERVICES:
            servers = [other for other in self._children.values() if other.spec.stage == SERVERS]
            for server in servers:
                await server.ready.wait()
        await child.keep()

    def _kept(self, task: asyncio.Task[None]) -> None:
        """A fault of ours must not leave a process unwatched: better no stack than half a one."""
        if not task.cancelled() and (error := task.exception()):
            self._say.error("supervisor.fault name=%s", task.get_name(), exc_info=error)
            self._ask_stop()

    def _reap(self) -> None:
        known = {child.record.pid for child in self._children.values()}
        ended = [child for child in self._children.values() if child.poll()]
        if ended:
            processes.kill(processes.strays(known))
        _bury_strays(known)

    async def _end(self, children: list[Child]) -> None:
        await asyncio.gather(*(self._end_one(child) for child in children))

    async def _end_one(self, child: Child) -> None:
        task = self._tasks[child.spec.name]
        await child.stop()
        if child.record.state == "waiting":
            await cancelling.end(task)
        await asyncio.wait([task])

    async def _end_all(self) -> None:
        """The last record stays, so that whoever asked for the end can read how each process ended."""
        self._record.stopping = True
        self._write()
        for stage in (SERVICES, SERVERS):
            await self._end([child for child in self._children.values() if child.spec.stage == stage])
        processes.kill(processes.strays(()))
        _bury_strays(set())

    def _write(self) -> None:
        self._record.processes = [child.record for child in self._children.values()]
        try:
            self._record.write(self._paths.record)
        except OSError as error:  # the next look at the state directory decides
            self._say.warning("record.unwritten error=%s", error)


def _bury_strays(known: set[int]) -> None:
    """Take the end of adopted processes from the system; those of our own children are for their Popen to take."""
    if sys.platform != "linux":  # nothing is adopted elsewhere
        return
    with suppress(ChildProcessError):
        while (info := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and info.si_pid not in known:
            os.waitpid(info.si_pid, 0)


def main() -> None:
    """Detach; end with 0 once the record is written, so that whoever waits can read it."""
    paths = StatePaths(Path(sys.argv[1]))
    written, announcing = os.pipe()
    if os.fork():
        os.close(announcing)
        os._exit(UP if os.read(written, 1) else REFUSED)
    os.close(written)
    plan = Plan.read(paths.plan)
    try:
        with FileLock(paths.supervisor_lock, timeout=_patience(plan.pace), mode=OWNER_ONLY):
            _supervise(paths, plan, announcing)
    except Timeout:
        sys.exit(f"another supervisor has {paths.supervisor_lock}")


def _patience(pace: Pace) -> float:
    """One whose record was taken away sees it at its next look and ends, services and servers within a grace each."""
    return pace.look + 2 * pace.stop_grace + 1


def _supervise(paths: StatePaths, plan: Plan, announcing: int) -> None:
    os.umask(0o077)  # what the processes store is for this user alone
    adopt_orphans()
    supervisor = Supervisor(paths, plan, _open_log(paths, plan.pace))

    def announce() -> None:
        os.write(announcing, b".")
        os.close(announcing)

    asyncio.run(supervisor.run(announce))


def _open_log(paths: StatePaths, pace: Pace) -> Logger:
    handler = logging.handlers.RotatingFileHandler(
        paths.log("supervisor"), maxBytes=pace.log_max_bytes, backupCount=pace.log_files - 1, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    say = logging.getLogger("codestory.local.supervisor")
    say.addHandler(handler)
    say.setLevel(logging.INFO)
    return say


if __name__ == "__main__":
    main()
