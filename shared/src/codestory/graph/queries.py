"""Reads whole repositories: their digest, what they hold, which there are, and a user's own query."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from neo4j import AsyncDriver, AsyncTransaction
from neo4j.exceptions import ClientError, DatabaseError
from neo4j.graph import Node as StoredNode
from neo4j.graph import Path as StoredPath
from neo4j.graph import Relationship as StoredRelationship

from codestory.contracts.values import Value
from codestory.graph import schema
from codestory.graph.content import ALWAYS_VOLATILE, hash_of
from codestory.graph.driver import Row, in_parts, reaching, read, rows, written_here
from codestory.graph.errors import QueryRefused
from codestory.graph.readonly import refuse_writes

#: As `digest` counts it: ("node", label, id, placeholder, properties) or
#: ("relationship", owner, type, label, id, label, id, properties).
Item = tuple[Any, ...]


class GraphStats(Value):
    """What the graph holds of one repository. `complete`: it is there and no step is writing, or was killed writing.

    Placeholders are nodes that relationships name and that no step has written; they are not among `nodes`.
    """

    repository: str
    nodes: dict[str, int]
    relationships: dict[str, int]
    placeholders: dict[str, int]
    complete: bool = False
    writing_steps: tuple[str, ...] = ()
    stale_steps: tuple[str, ...] = ()


class FoundRepository(Value):
    id: str
    name: str = ""
    url: str = ""
    ingested_at: str = ""
    writing_steps: tuple[str, ...] = ()


async def digest(driver: AsyncDriver, repository: str, *, database: str | None = None) -> str:
    """One hash over all that the graph holds of a repository, placeholders too, volatile properties and marks left out.

    A sum of hashes: it depends on no order, and something stored twice shows.
    """
    total = 0
    async for item in items(driver, repository, database=database):
        total += int(hash_of(list(item)), 16)
    return f"{total % 2**128:032x}"


async def items(driver: AsyncDriver, repository: str, *, database: str | None = None) -> AsyncIterator[Item]:
    """Every node and every relationship of a repository, in no order."""
    with reaching():
        async with driver.session(database=database) as session:
            labels = await schema.labels(session)
            async with await session.begin_transaction() as tx:
                volatile = await _volatile(tx, repository)
                for label in labels:
                    async for item in _nodes(tx, repository, label, volatile):
                        yield item
                    async for item in _relationships(tx, repository, label, labels):
                        yield item


async def stats(driver: AsyncDriver, repository: str, *, database: str | None = None) -> GraphStats:
    nodes, relationships, placeholders = Counter[str](), Counter[str](), Counter[str]()
    with reaching():
        async with driver.session(database=database) as session:
            for label in await schema.labels(session):
                here = f"MATCH (n:{label} {{repo: $repo}})"
                query = f"{here} RETURN n._missing IS NULL AS written, count(*) AS n"
                for row in await read(session, query, repo=repository):
                    (nodes if row["written"] else placeholders)[label] += row["n"]
                query = f"{here}-[e]->() RETURN type(e) AS type, count(*) AS n"
                for row in await read(session, query, repo=repository):
                    relationships[row["type"]] += row["n"]
            query = "MATCH (r:Repository {id: $repo}) RETURN r.writing_steps AS writing, r.stale_steps AS stale"
            [root] = await read(session, query, repo=repository) or [{"writing": None, "stale": None}]
    return GraphStats(
        repository=repository,
        nodes=dict(sorted(nodes.items())),
        relationships=dict(sorted(relationships.items())),
        placeholders=dict(sorted(placeholders.items())),
        complete=bool(nodes) and not root["writing"],
        writing_steps=tuple(root["writing"] or ()),
        stale_steps=tuple(root["stale"] or ()),
    )


async def repositories(driver: AsyncDriver, *, database: str | None = None) -> list[FoundRepository]:
    """Those that filesystem has written, by name."""
    with reaching():
        async with driver.session(database=database) as session:
            found = await read(session, "MATCH (r:Repository) WHERE r._missing IS NULL RETURN properties(r) AS p")
    return sorted((_found(row["p"]) for row in found), key=lambda repository: (repository.name, repository.id))


async def find_repository(driver: AsyncDriver, name: str, *, database: str | None = None) -> FoundRepository | None:
    """By id, else by name, else by url."""
    there = await repositories(driver, database=database)
    for key in ("id", "name", "url"):
        for repository in there:
            if name and getattr(repository, key) == name:
                return repository
    return None


async def run_query(
    driver: AsyncDriver, query: str, parameters: Mapping[str, Any] | None = None, *, database: str | None = None
) -> list[Row]:
    """Rows of a query that reads, as values that JSON has. Whatever it did is rolled back."""
    refuse_writes(query)
    with reaching():
        async with driver.session(database=database, default_access_mode="READ") as session:
            try:
                async with await session.begin_transaction() as tx:
                    result = await tx.run(written_here(query), dict(parameters or {}))
                    found = [_plain_row(record) async for record in result]
                    await tx.rollback()
            except (ClientError, DatabaseError) as error:
                raise QueryRefused(f"The graph server did not run the query: {error.message}") from error
    return found


async def _volatile(tx: AsyncTransaction, repository: str) -> frozenset[str]:
    query = "MATCH (r:Repository {id: $repo}) RETURN coalesce(r._volatile, []) AS keys"
    return ALWAYS_VOLATILE.union(*(row["keys"] for row in await rows(tx, query, repo=repository)))


async def _nodes(tx: AsyncTransaction, repository: str, label: str, volatile: frozenset[str]) -> AsyncIterator[Item]:
    # A Repository that nobody has written and nothing names is there for its marks alone.
    content = "WHERE n._missing IS NULL OR EXISTS { (n)--() } " if label == "Repository" else ""
    query = f"MATCH (n:{label} {{repo: $repo}}) {content}" + in_parts("n", "n.id, properties(n)")
    hidden = {"id", "repo", *(volatile if label == "Repository" else ())}
    async for row in await tx.run(written_here(query), repo=repository):
        for id_, properties in row["part"]:
            yield "node", label, id_, "_missing" in properties, _content(properties, hidden)


async def _relationships(
    tx: AsyncTransaction, repository: str, label: str, labels: tuple[str, ...]
) -> AsyncIterator[Item]:
    end = "[l IN labels(endNode(e)) WHERE l IN $labels][0], endNode(e).id"
    query = f"MATCH (a:{label} {{repo: $repo}})-[e]->() " + in_parts(
        "e", f"e.owner, type(e), startNode(e).id, {end}, properties(e)"
    )
    async for row in await tx.run(written_here(query), repo=repository, labels=labels):
        for owner, type_, source, end_label, end_id, properties in row["part"]:
            content = _content(properties, {"owner"})
            yield "relationship", owner, type_, label, source, end_label, end_id, content


def _content(properties: Row, hidden: set[str]) -> Row:
    return {key: value for key, value in properties.items() if key not in hidden and not key.startswith("_")}


def _found(properties: Row) -> FoundRepository:
    kept = {
        key: value for key, value in properties.items() if key in FoundRepository.model_fields and value is not None
    }
    return FoundRepository.model_validate(kept)


def _plain_row(record: Mapping[str, Any]) -> Row:
    return {key: _plain(value) for key, value in record.items()}


def _plain(value: Any) -> Any:
    match value:
        case StoredNode():
            return {"labels": sorted(value.labels), **_plain_row(value)}
        case StoredRelationship():
            ends = [node and node.get("id") for node in value.nodes]
            return {"type": value.type, "source": ends[0], "target": ends[-1], **_plain_row(value)}
        case StoredPath():
            return [_plain(value.start_node), *map(_plain, value.relationships)]
        case list():
            return [_plain(item) for item in cast("list[Any]", value)]
        case dict():
            return _plain_row(cast("dict[str, Any]", value))
        case None | str() | bool() | int() | float():
            return value
        case bytes():
            return value.hex()
        case _:
            return json.loads(json.dumps(value, default=str))
