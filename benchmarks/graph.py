"""How long the graph writer takes for a repository of Django's size, beside plain MERGE of the same rows.

    CODESTORY_NEO4J_URI=bolt://127.0.0.1:7687 CODESTORY_NEO4J_PASSWORD=… python benchmarks/graph.py [--server PID]

Plain MERGE is what anybody would write first: no fence, no difference, nothing deleted, no two steps at once. Where the
machine is shared, compare the processor seconds: the client's, and the server's if its process is given. Of a server
that has just started a good half is its compiler's, on another core than the writes."""

import argparse
import asyncio
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import psutil
from neo4j import AsyncDriver, AsyncManagedTransaction

from codestory.graph import Fence, GraphSettings, GraphWriter, Node, Relationship, connect, node_id, queries, schema
from codestory.graph.driver import rows

REPOSITORY = "benchmark"
PLAIN = "benchmark-plain"
OWNER = "blarify"

Content = tuple[list[Node], list[Relationship]]


def content(nodes: int, relationships: int) -> Content:
    """Functions that use each other, some of them much; DEFINES comes from files that another step writes."""
    rng = random.Random(1)
    functions = [_function(number) for number in range(nodes)]
    ids = [function.id for function in functions]
    pairs = {
        (type_, rng.choice(ids), ids[int(nodes * rng.random() ** 3)])
        for type_ in ("CALLS", "USES")
        for _ in range((relationships - nodes) // 2)
    }
    edges = [
        Relationship(type_, "Function", a, "Function", b, {"lines": [number % 900], "resolved_by": "pyrefly"})
        for number, (type_, a, b) in enumerate(sorted(pairs))
    ]
    for function in functions:
        file = node_id(REPOSITORY, "File", str(function.properties["path"]))
        edges.append(Relationship("DEFINES", "File", file, "Function", function.id))
    return functions, edges


def one_percent_changed(was: Content) -> Content:
    rng = random.Random(2)
    nodes, relationships = list(was[0]), list(was[1])
    for at in rng.sample(range(len(nodes)), len(nodes) // 100):
        nodes[at] = replace(nodes[at], properties={**nodes[at].properties, "sha256": "changed"})
    for at in rng.sample(range(len(relationships)), len(relationships) // 100):
        relationships[at] = replace(relationships[at], properties={**relationships[at].properties, "lines": [1, 2]})
    return nodes, relationships


async def plain(driver: AsyncDriver, settings: GraphSettings, said: Content) -> None:
    """The same rows under ids of their own."""
    nodes = [{"id": f"plain-{node.id}", "p": {**node.properties, "repo": PLAIN}} for node in said[0]]
    async with driver.session(database=settings.neo4j_database) as session:

        async def write(query: str, sent: Sequence[dict[str, Any]]) -> None:
            for start in range(0, len(sent), settings.graph_batch_rows):
                await session.execute_write(_run, query, sent[start : start + settings.graph_batch_rows])

        await write("MERGE (n:Function {id: r.id}) SET n += r.p", nodes)
        files = {f"plain-{edge.source}" for edge in said[1] if edge.source_label == "File"}
        await write("MERGE (n:File {id: r.id}) SET n.repo = r.repo", [{"id": id_, "repo": PLAIN} for id_ in files])
        for type_ in ("CALLS", "USES", "DEFINES"):
            edges = [edge for edge in said[1] if edge.type == type_]
            label = edges[0].source_label
            sent = [{"a": f"plain-{e.source}", "b": f"plain-{e.target}", "p": dict(e.properties)} for e in edges]
            match = f"MATCH (a:{label} {{id: r.a}}) MATCH (b:Function {{id: r.b}})"
            await write(f"{match} MERGE (a)-[e:{type_}]->(b) SET e += r.p", sent)


async def _run(tx: AsyncManagedTransaction, query: str, sent: Sequence[dict[str, Any]]) -> None:
    await rows(tx, f"UNWIND $rows AS r {query}", rows=sent)


async def wipe(driver: AsyncDriver, settings: GraphSettings) -> None:
    async with driver.session(database=settings.neo4j_database) as session:
        for repository in (REPOSITORY, PLAIN):
            for label in ("Function", "File", "Repository"):
                deleted = 1
                while deleted:
                    query = f"MATCH (n:{label} {{repo: $repo}}) WITH n LIMIT 2000 DETACH DELETE n RETURN count(*) AS n"
                    [row] = await session.execute_write(_deleted, query, repository)
                    deleted = row["n"]
        await session.execute_write(_deleted, "MATCH (f:_Fence) WHERE f.key STARTS WITH $repo DELETE f", REPOSITORY)


async def _deleted(tx: AsyncManagedTransaction, query: str, repository: str) -> list[dict[str, Any]]:
    return await rows(tx, query, repo=repository)


async def main(nodes: int, relationships: int, server: int | None) -> None:
    settings = GraphSettings()
    said = content(nodes, relationships)
    print(f"{len(said[0]):,} nodes, {len(said[1]):,} relationships; client {_peak():.0f} MiB before it writes")
    async with connect(settings) as driver:
        print((await driver.get_server_info()).agent)
        await schema.ensure(driver, settings)
        await wipe(driver, settings)
        try:
            await _measure(driver, settings, said, server)
        finally:
            await wipe(driver, settings)


async def _measure(driver: AsyncDriver, settings: GraphSettings, said: Content, server: int | None) -> None:
    async def written(sequence: int, content_: Content) -> str:
        writer = GraphWriter(
            driver, settings, repository=REPOSITORY, owner=OWNER, fence=Fence(1, sequence), labels=("Function",)
        )
        return str(await writer.replace(*content_))

    changed = one_percent_changed(said)
    timed = Clock(server)
    await timed("plain MERGE, first", lambda: plain(driver, settings, said))
    await timed("plain MERGE, again", lambda: plain(driver, settings, said))
    await timed("writer, first", lambda: written(1, said))
    await timed("writer, unchanged", lambda: written(2, said))
    await timed("writer, 1 % changed", lambda: written(3, changed))
    await timed("pages", lambda: _read(driver, settings))
    await timed("digest", lambda: queries.digest(driver, REPOSITORY, database=settings.neo4j_database))


async def _read(driver: AsyncDriver, settings: GraphSettings) -> str:
    reader = GraphWriter(driver, settings, repository=REPOSITORY, owner="reader", fence=Fence(1, 1))
    nodes = [row async for row in reader.nodes("Function", "name", "path", "docstring")]
    calls = [row async for row in reader.relationships("CALLS", "Function", "Function", "lines")]
    return f"{len(nodes):,} nodes, {len(calls):,} relationships"


class Clock:
    """Prints how long something took, and how many times as long as the first."""

    def __init__(self, server: int | None) -> None:
        self._client = psutil.Process()
        self._server = psutil.Process(server) if server else None
        self._base: float | None = None

    async def __call__(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        start, client, server = time.monotonic(), _cpu(self._client), _cpu(self._server)
        told = await work()
        seconds = time.monotonic() - start
        self._base = self._base or seconds
        used = f"processor: client {_cpu(self._client) - client:5.1f} s"
        if self._server:
            used += f", server {_cpu(self._server) - server:5.1f} s, {self._server.memory_info().rss / 2**20:.0f} MiB"
        print(
            f"{what:20} {seconds:7.1f} s {seconds / self._base:5.2f} x plain  {used}  client peak {_peak():.0f} MiB "
            f" {told or ''}",
            flush=True,
        )


def _cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0
    times = process.cpu_times()
    return times.user + times.system


def _peak() -> float:
    """Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _function(number: int) -> Node:
    path = f"django/package{number % 300}/module{number % 3000}.py"
    return Node(
        "Function",
        node_id(REPOSITORY, "Function", path, f"function_{number}"),
        {
            "name": f"function_{number}",
            "qualified_name": f"{path}::Class{number % 99}.function_{number}",
            "path": path,
            "start_line": number % 900,
            "end_line": number % 900 + 9,
            "signature": f"def function_{number}(self, request, *args)",
            "docstring": "What it does. " * (number % 20),
            "language": "python",
            "sha256": f"{number:064x}",
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=54_000)
    parser.add_argument("--relationships", type=int, default=190_000)
    parser.add_argument("--server", type=int, help="the server's process, if it runs here")
    given = parser.parse_args()
    asyncio.run(main(given.nodes, given.relationships, given.server))
