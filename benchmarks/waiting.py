"""Ten thousand jobs that wait: the orchestrator's memory, how soon it answers, and the order in which they run.

    python benchmarks/waiting.py [--jobs N] [--in-flight N] [--looks N] [--admitted N]

Each job is one step on a repository of its own, submitted by REST; of forty one is of high priority, one of default and
the others low. The steps exist, but no worker lives until all jobs wait. Then workers come, and of what they are given
the order is compared with the order in which it had come to wait, by the sequences that the server gave: a higher
priority first, and within one priority the commands of each step as they came. What a step was given before it had a
worker, one command each to wake a scaler, does not count."""

import argparse
import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from chain.figures import STEPS, percentile
from chain.http import Connection
from chain.ours import Pipeline, run
from nats.aio.msg import Msg

from codestory.bus import parsed
from codestory.testing import wait_until
from codestory.testing_bus import out_of_order

MEMORY_LIMIT = 300e6
PRIORITIES = ("high", "default", "low")
#: Of so many jobs one is high, one default.
MIXED = 40
#: Two rounds of the reconciler.
REST_SECONDS = 10.0
#: Fewer than may run of one step, so that the tokens alone decide.
TOKENS, SLOTS = 4, 4
LIMIT_SECONDS = 1800.0


class Sequences:
    """Where each job's command stood: in READY, by the order in which it was put there, and in RUN."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._bus = pipeline.bus
        #: Job to rank of its priority, step, place in READY.
        self.waiting: dict[str, tuple[int, str, int]] = {}
        self.running: dict[str, int] = {}
        self.admitted: set[str] = set()

    async def listen(self) -> None:
        await self._bus.nc.subscribe(self._bus.subject("ready.*.*.*"), cb=self._waits)
        await self._bus.nc.subscribe(self._bus.subject("run.*.*"), cb=self._admitted)
        await self._bus.nc.subscribe(self._bus.subject("live.evt.*.*.started"), cb=self._runs)

    async def _waits(self, msg: Msg) -> None:
        *_, priority, step, job = msg.subject.split(".")
        self.waiting.setdefault(job, (PRIORITIES.index(priority), step, len(self.waiting)))

    async def _admitted(self, msg: Msg) -> None:
        self.admitted.add(msg.subject.rpartition(".")[2])

    async def _runs(self, msg: Msg) -> None:
        """A worker's `started` says which sequence its command had in RUN."""
        self.running[msg.subject.split(".")[-3]] = parsed(msg.data)["delivery"][0]


async def main(asked: argparse.Namespace) -> None:
    async with Pipeline(slots=SLOTS, tokens=TOKENS, alive=False) as pipeline:
        sequences = Sequences(pipeline)
        await sequences.listen()
        before = pipeline.orchestrator.memory_info().rss
        jobs = await submit(pipeline, asked)
        await rest(pipeline)
        await look(pipeline, asked.looks, jobs)
        memory = pipeline.orchestrator.memory_info().rss
        print(
            f"memory: {memory / 1e6:.0f} MB ({before / 1e6:.0f} MB before) of {MEMORY_LIMIT / 1e6:.0f} MB allowed, "
            f"ratio {memory / MEMORY_LIMIT:.2f}"
        )
        await let_run(pipeline, asked, sequences)


async def submit(pipeline: Pipeline, asked: argparse.Namespace) -> list[str]:
    repositories = [pipeline.repository() for _ in range(asked.jobs)]
    left = iter(range(asked.jobs))
    jobs: list[str] = []
    taken: list[float] = []

    async def one_after_the_other() -> None:
        connection = Connection(pipeline.port)
        for number in left:
            begun = time.perf_counter()
            job = await pipeline.submit(
                connection,
                repository=repositories[number],
                priority=PRIORITIES[min(number % MIXED, 2)],
                steps=[STEPS[number % len(STEPS)]],
            )
            taken.append(time.perf_counter() - begun)
            jobs.append(job)
        connection.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(asked.in_flight)))
    seconds = time.perf_counter() - begun
    print(f"{asked.jobs:,} jobs submitted, {asked.in_flight} in flight: {asked.jobs / seconds:.0f} a second")
    tell("submit, the first tenth", taken[: len(taken) // 10])
    tell("submit, the last tenth", taken[-len(taken) // 10 :])
    return jobs


async def look(pipeline: Pipeline, count: int, jobs: list[str]) -> None:
    """While all of them wait, one request at a time."""
    connection = Connection(pipeline.port)
    some = itertools.cycle(jobs[:: max(len(jobs) // 97, 1)])

    async def each(what: str, path: Callable[[], str]) -> None:
        tell(what, [await timed(lambda: connection.ask("GET", path())) for _ in range(count)])

    await each("list of 50 jobs", lambda: "/v1/ingest")
    await each("list of 200 jobs", lambda: "/v1/ingest?limit=200")
    await each("status of one job", lambda: f"/v1/ingest/{next(some)}")
    await each("status of all steps", lambda: "/v1/ingest/steps")
    submits = [await timed(lambda: pipeline.submit(connection, steps=["a"], priority="low")) for _ in range(count)]
    tell("submit", submits)
    connection.close()


async def rest(pipeline: Pipeline) -> None:
    before, begun = pipeline.cpu(), time.perf_counter()
    await asyncio.sleep(REST_SECONDS)
    seconds = time.perf_counter() - begun
    used = {name: round((cpu - before[name]) / seconds, 2) for name, cpu in pipeline.cpu().items()}
    print(f"nothing asked of it, nothing to run: {used} cores")


async def let_run(pipeline: Pipeline, asked: argparse.Namespace, sequences: Sequences) -> None:
    """Let workers at them until so many have begun; they may finish what they have."""
    early, begun = set(sequences.admitted), time.perf_counter()
    await pipeline.start_hosts()

    async def enough() -> bool:
        return len(sequences.running) >= min(asked.admitted, asked.jobs)

    await wait_until(enough, f"{asked.admitted} have begun", LIMIT_SECONDS)
    print(f"{len(sequences.running):,} begun in {time.perf_counter() - begun:.0f} s, the start of the workers included")
    waited = (sequences.running.keys() & sequences.waiting.keys()) - early
    came = [sequences.waiting[job] for job in sorted(waited, key=sequences.running.__getitem__)]
    urgent = out_of_order([rank for rank, _, _ in came])
    first = sum(out_of_order(places) for places in lines(came))
    print(f"out of order: {urgent} by priority, {first} within one priority and step, of {len(came):,} that had waited")


def lines(came: list[tuple[int, str, int]]) -> Iterator[list[int]]:
    """The places of each line that commands wait in."""
    found = defaultdict[tuple[int, str], list[int]](list)
    for rank, step, place in came:
        found[rank, step].append(place)
    yield from found.values()


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


def tell(what: str, seconds: list[float]) -> None:
    p50, p95 = percentile(seconds, 0.5) * 1000, percentile(seconds, 0.95) * 1000
    print(f"{what}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, of {len(seconds)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=8, help="requests at once that submit")
    parser.add_argument("--looks", type=int, default=100, help="requests of each kind")
    parser.add_argument("--admitted", type=int, default=1000, help="until so many have begun")
    run(main(parser.parse_args()))
