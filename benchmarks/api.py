"""How soon the API answers while ten thousand jobs are known: submit, list, status.

    python benchmarks/api.py [--jobs N] [--in-flight N] [--looks N]

The jobs wait, each on a repository of its own, as in `waiting.py`; no worker lives. Each kind of request is then sent
one after the other, and again over several connections at once. Each p99 is printed with its ratio to the limit, which
holds for one request at a time; the process ends with 1 when one is above it."""

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable

from chain.figures import percentile
from chain.http import Connection
from chain.ours import Pipeline, run
from waiting import SLOTS, TOKENS, submit

#: Milliseconds: 99 of 100 answers come sooner.
SUBMIT, LIST, STATUS = 100.0, 200.0, 20.0
FILTERS = ("", "?limit=200", "?status=PENDING&priority=low&limit=200", "?repository=none", "?sort=created&step=b")

Request = Callable[[Connection], Awaitable[object]]


async def main(asked: argparse.Namespace) -> None:
    async with Pipeline(slots=SLOTS, tokens=TOKENS, alive=False) as pipeline:
        jobs = itertools.cycle(await submit(pipeline, asked))
        lists = itertools.cycle(FILTERS)
        kinds: dict[str, tuple[Request, float]] = {
            "status": (lambda to: to.ask("GET", f"/v1/ingest/{next(jobs)}"), STATUS),
            "list": (lambda to: to.ask("GET", f"/v1/ingest{next(lists)}"), LIST),
            "submit": (lambda to: pipeline.submit(to, steps=["a"], priority="low"), SUBMIT),
        }
        worst = 0.0
        for name, (request, limit) in kinds.items():
            worst = max(worst, tell(name, await measure(pipeline, request, asked.looks, 1), limit))
            tell(
                f"{name}, {asked.in_flight} at once",
                await measure(pipeline, request, asked.looks, asked.in_flight),
                limit,
            )
    if worst > 1:
        sys.exit(1)


async def measure(pipeline: Pipeline, request: Request, count: int, in_flight: int) -> list[float]:
    left = iter(range(count))
    taken: list[float] = []

    async def one_after_the_other() -> None:
        connection = Connection(pipeline.port)
        await request(connection)  # opens it
        for _ in left:
            begun = time.perf_counter()
            await request(connection)
            taken.append(time.perf_counter() - begun)
        connection.close()

    await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
    return taken


def tell(what: str, seconds: list[float], limit: float) -> float:
    """The ratio of its p99 to the limit."""
    p50, p99 = percentile(seconds, 0.5) * 1000, percentile(seconds, 0.99) * 1000
    print(
        f"{what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms of {limit:.0f} ms allowed, ratio {p99 / limit:.2f}, "
        f"of {len(seconds)}",
        flush=True,
    )
    return p99 / limit


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=8, help="requests at once")
    parser.add_argument("--looks", type=int, default=1000, help="requests of each kind")
    run(main(parser.parse_args()))
