"""Reads what the Repository nodes say of themselves: which there are, from where, how far."""

from collections import Counter

from neo4j import AsyncDriver

from codestory.contracts.values import Value
from codestory.graph import schema
from codestory.graph.driver import Row, reaching, read

#: Nobody has written it, but somebody is writing, or has been made stale: a job runs on it, or was killed.
THERE = "r.repo = r.id AND (r._missing IS NULL OR r.writing_steps IS NOT NULL OR r.stale_steps IS NOT NULL)"


class StoredRepository(Value):
    """`written`: its owner has; otherwise it has marks of other steps only, and no name."""

    id: str
    name: str = ""
    url: str = ""
    branch: str = ""
    commit: str = ""
    ingested_at: str = ""
    written: bool = True
    writing_steps: tuple[str, ...] = ()
    stale_steps: tuple[str, ...] = ()


async def stored(driver: AsyncDriver, *, database: str | None = None) -> dict[str, StoredRepository]:
    """All of them, by id."""
    return await _read(driver, database, "MATCH (r:Repository)")


async def find(driver: AsyncDriver, repository: str, *, database: str | None = None) -> StoredRepository | None:
    found = await _read(driver, database, "MATCH (r:Repository {id: $repo})", repository)
    return found.get(repository)


async def node_counts(driver: AsyncDriver, repository: str, *, database: str | None = None) -> dict[str, int]:
    """What the steps have written of it, by label; placeholders are not counted."""
    counts: Counter[str] = Counter()
    with reaching():
        async with driver.session(database=database) as session:
            for label in await schema.labels(session):
                query = f"MATCH (n:{label} {{repo: $repo}}) WHERE n._missing IS NULL RETURN count(*) AS n"
                [row] = await read(session, query, repo=repository)
                counts[label] = row["n"]
    return dict(+counts)


async def _read(
    driver: AsyncDriver, database: str | None, match: str, repository: str = ""
) -> dict[str, StoredRepository]:
    with reaching():
        async with driver.session(database=database) as session:
            query = f"{match} WHERE {THERE} RETURN properties(r) AS p"
            found = [_stored(row["p"]) for row in await read(session, query, repo=repository)]
    return {repository.id: repository for repository in found}


def _stored(properties: Row) -> StoredRepository:
    kept = {key: value for key, value in properties.items() if key in StoredRepository.model_fields and value}
    return StoredRepository.model_validate({**kept, "written": properties.get("_missing") is None})
