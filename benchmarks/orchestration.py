"""What it costs to run steps: our pipeline and Celery 5 on Redis in turn, in one run.

    python benchmarks/orchestration.py [--rounds N] [--jobs N] [--slots N] [--celery FOLDER]

A job is a chain of four steps that do nothing; 64 are in flight, then one at a time, then jobs that sleep are
cancelled. Ours is the whole of it: REST, validation, telemetry, a process for each attempt. Celery has late
acknowledgements and Redis's append-only file, synced each second; beside ours at `sync_interval: always` it promises
less. All are up the whole time, and each round begins with another. Only ratios within one run mean anything.

A hop is a job's time over four: what submits it and hears its end is in it."""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from chain.figures import Turn, in_turn, ratios, spread
from chain.ours import Pipeline, run
from chain.peer import HOME, Celery, missing

DEFAULT, ALWAYS, SOLO, PREFORK = "ours", "ours, fsync always", "Celery solo", "Celery prefork"
FIGURES = (
    "jobs/s",
    "processor ms a job",
    "jobs/s, one at a time",
    "hop p50 ms",
    "hop p95 ms",
    "cancel p50 ms",
    "cancel p95 ms",
)
#: What we are after: contestant, figure, what it is compared with (None: an absolute figure), limit.
GOALS = (
    (DEFAULT, "jobs/s", PREFORK, 2.0),
    (DEFAULT, "jobs/s", SOLO, 2.0),
    (ALWAYS, "jobs/s", PREFORK, 1.0),
    (ALWAYS, "jobs/s", SOLO, 1.0),
    (DEFAULT, "hop p50 ms", None, 6.0),
)

Turns = Mapping[str, Sequence[Turn]]


async def turn(contestant: Pipeline | Celery, jobs: int, in_flight: int, cancels: int) -> Turn:
    await contestant.run(in_flight, in_flight)  # not counted: cancels have ended processes, which are made anew
    loaded = await contestant.run(jobs, in_flight)
    alone = await contestant.run(max(jobs // 10, 10), 1)
    return Turn(loaded, alone, await contestant.cancels(cancels))


async def main(asked: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        contestants: dict[str, Pipeline | Celery] = {
            DEFAULT: await stack.enter_async_context(Pipeline(slots=asked.slots)),
            ALWAYS: await stack.enter_async_context(Pipeline("always", slots=asked.slots)),
        }
        if wanted := missing(asked.celery):
            print(f"Ours alone. For Celery beside it:\n{wanted}\n", flush=True)
        else:
            contestants[SOLO] = await stack.enter_async_context(Celery(asked.celery, "solo"))
            contestants[PREFORK] = await stack.enter_async_context(Celery(asked.celery, "prefork"))
        for contestant in contestants.values():  # every slot has its process, and every code path has run once
            await contestant.run(asked.jobs, asked.in_flight)
        turns: dict[str, list[Turn]] = {name: [] for name in contestants}
        for round_ in range(asked.rounds):
            for name in in_turn(list(contestants), round_):
                turns[name].append(await turn(contestants[name], asked.jobs, asked.in_flight, asked.cancels))
                print(f"round {round_ + 1}, {name}: {said(turns[name][-1])}", flush=True)
    tell(turns)


def said(one: Turn) -> str:
    figures = ", ".join(f"{name} {value:.1f}" for name, value in one.figures().items())
    return f"{figures}; cores {one.loaded.cores}"


def tell(turns: Turns) -> None:
    print(f"\n| | {' | '.join(FIGURES)} |\n|---|{'---|' * len(FIGURES)}")
    for name, own in turns.items():
        figures = [each.figures() for each in own]
        cells = [spread([f[figure] for f in figures if figure in f], 1) for figure in FIGURES]
        print(f"| {name} | {' | '.join(cells)} |")
    for peer in (SOLO, PREFORK):
        for name in (DEFAULT, ALWAYS):
            if peer in turns:
                cells = [spread(ratios(turns[name], turns[peer], figure)) for figure in FIGURES]
                print(f"| {name} ÷ {peer} | {' | '.join(cells)} |")
    print()
    for name, figure, peer, limit in GOALS:
        if peer is None:
            value = statistics.median(each.figures()[figure] for each in turns[name])
            print(f"{name}, {figure}: {value:.1f} of {limit:.1f} allowed, ratio {value / limit:.2f}")
        elif peer in turns:
            value = statistics.median(ratios(turns[name], turns[peer], figure))
            print(f"{name}, {figure}: {value:.2f} times {peer}, at least {limit:.1f} wanted")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=400, help="of one phase; a tenth of it one at a time")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--slots", type=int, default=8, help="runs at once of one step; each has a process of 60 MB")
    parser.add_argument("--cancels", type=int, default=8)
    parser.add_argument("--celery", type=Path, default=HOME, help="the environment that has it")
    run(main(parser.parse_args()))
