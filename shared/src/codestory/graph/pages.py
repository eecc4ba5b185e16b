"""Reads what the graph holds of a repository page by page: of an answer, only one page is in memory.

The ids are read first, in one scan; a page is then looked up by its ids, so that many pages cost no more than one.
"""

from collections.abc import AsyncIterator, Sequence

from neo4j import AsyncSession

from codestory.graph.driver import Row, in_parts, read
from codestory.graph.model import checked_label, checked_property, checked_type


async def nodes(
    session: AsyncSession, repository: str, label: str, properties: Sequence[str], page: int
) -> AsyncIterator[Row]:
    names = [checked_property(name) for name in properties]
    values = ", ".join(["n.id", *(f"n.{name}" for name in names)])
    find = f"MATCH (n:{checked_label(label)} {{repo: $repo}}) WHERE n._missing IS NULL"
    look_up = f"MATCH (n:{label} {{id: id}}) WHERE n._missing IS NULL RETURN collect([{values}]) AS part"
    ids = await _ids(session, repository, find)
    async for row in _rows(session, ids, look_up, ["id", *names], page):
        yield row


async def relationships(
    session: AsyncSession, repository: str, ends: tuple[str, str, str], properties: Sequence[str], page: int
) -> AsyncIterator[Row]:
    """`ends`: the type, the source's label, the target's. `page` counts sources."""
    names = [checked_property(name) for name in properties]
    type_, source, target = checked_type(ends[0]), checked_label(ends[1]), checked_label(ends[2])
    values = ", ".join(["n.id", "b.id", *(f"e.{name}" for name in names)])
    edge = f"(n)-[e:{type_}]->(b:{target})"
    find = f"MATCH (n:{source} {{repo: $repo}}) WHERE n._missing IS NULL AND EXISTS {{ (n)-[:{type_}]->(:{target}) }}"
    look_up = (
        f"MATCH (n:{source} {{id: id}}) MATCH {edge} WHERE n._missing IS NULL AND b._missing IS NULL"
        f" RETURN collect([{values}]) AS part"
    )
    ids = await _ids(session, repository, find)
    async for row in _rows(session, ids, look_up, ["source", "target", *names], page):
        yield row


async def _ids(session: AsyncSession, repository: str, find: str) -> list[str]:
    found = await read(session, f"{find} {in_parts('n', 'n.id')}", repo=repository)
    return sorted(id_ for row in found for (id_,) in row["part"])


async def _rows(
    session: AsyncSession, ids: Sequence[str], look_up: str, names: Sequence[str], page: int
) -> AsyncIterator[Row]:
    for at in range(0, len(ids), page):
        for row in await read(session, f"UNWIND $ids AS id {look_up}", ids=ids[at : at + page]):
            for values in row["part"]:
                yield dict(zip(names, values, strict=True))
