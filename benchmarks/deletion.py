"""How long a large repository takes to go out of the graph, and how long another's writes wait meanwhile.

    CODESTORY_NEO4J_URI=bolt://127.0.0.1:7687 CODESTORY_NEO4J_PASSWORD=… python benchmarks/deletion.py [--nodes N]

It is written first, as a step writes it. While it goes, somebody else writes a hundred nodes of another repository
again and again, one transaction each. Ends with 1 when one of these writes took longer than the limit, or something is
left."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from chain.figures import percentile
from graph import OWNER, PLAIN, REPOSITORY, content, wipe
from neo4j import AsyncDriver, AsyncManagedTransaction

from codestory import cancelling
from codestory.graph import Fence, GraphSettings, GraphWriter, connect, repositories, schema
from codestory.graph.driver import rows
from codestory.graph.removal import Removal

#: Seconds that another's write may take: long before its transaction is ended, or a person thinks that it hangs.
LIMIT = 5.0
ROWS = 100


async def main(nodes: int, relationships: int) -> None:
    settings = GraphSettings()
    async with connect(settings) as driver:
        print((await driver.get_server_info()).agent)
        await schema.ensure(driver, settings)
        await wipe(driver, settings)
        try:
            waited, left = await _measure(driver, settings, nodes, relationships)
        finally:
            await wipe(driver, settings)
    if left or max(waited) > LIMIT:
        sys.exit(1)


async def _measure(
    driver: AsyncDriver, settings: GraphSettings, nodes: int, relationships: int
) -> tuple[list[float], int]:
    said = content(nodes, relationships)
    writer = GraphWriter(driver, settings, repository=REPOSITORY, owner=OWNER, fence=Fence(1, 1), labels=("Function",))
    begun = time.monotonic()
    await writer.replace(*said)
    print(f"written: {len(said[0]):,} nodes, {len(said[1]):,} relationships in {time.monotonic() - begun:.1f} s")
    _tell("another's write before", await _others(driver, settings, 20))
    waited: list[float] = []
    others = asyncio.create_task(_others_for_ever(driver, settings, waited))
    begun = time.monotonic()
    gone = await Removal(driver, settings, REPOSITORY, Fence(1, 2)).run([OWNER])
    seconds = time.monotonic() - begun
    await cancelling.end(others)
    rate = sum(gone.values()) / seconds
    print(
        f"deleted: {gone.get('nodes', 0):,} nodes, {gone.get('relationships', 0):,} relationships in {seconds:.1f} s, "
        f"{rate:,.0f} a second"
    )
    _tell("another's write meanwhile", waited)
    left = await repositories.node_counts(driver, REPOSITORY, database=settings.neo4j_database)
    print(f"left: {left or 'nothing'}; longest wait ÷ limit {max(waited) / LIMIT:.2f}")
    return waited, sum(left.values())


async def _others_for_ever(driver: AsyncDriver, settings: GraphSettings, waited: list[float]) -> None:
    while not cancelling.cancelled():
        waited += await _others(driver, settings, 1)


async def _others(driver: AsyncDriver, settings: GraphSettings, times: int) -> list[float]:
    taken: list[float] = []
    sent = [{"id": f"plain-{number}", "name": f"f{number}"} for number in range(ROWS)]
    async with driver.session(database=settings.neo4j_database) as session:
        for _ in range(times):
            begun = time.monotonic()
            await session.execute_write(_write, sent, begun)
            taken.append(time.monotonic() - begun)
    return taken


async def _write(tx: AsyncManagedTransaction, sent: list[dict[str, str]], at: float) -> None:
    query = "UNWIND $rows AS r MERGE (n:Function {id: r.id}) SET n.repo = $repo, n.name = r.name, n.at = $at"
    await rows(tx, query, rows=sent, repo=PLAIN, at=at)


def _tell(what: str, seconds: Sequence[float]) -> None:
    print(
        f"{what}: p50 {percentile(seconds, 0.5) * 1000:.0f} ms, longest {max(seconds) * 1000:.0f} ms, "
        f"of {len(seconds)}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--relationships", type=int, default=350_000)
    asked = parser.parse_args()
    asyncio.run(main(asked.nodes, asked.relationships))
