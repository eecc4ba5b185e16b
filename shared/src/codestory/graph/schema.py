"""Constraints and indexes; they are also the list of the labels that are ours.

Each label has three: `id` is unique, `repo` finds the nodes of a repository, `_missing` its placeholders. A label is
part of the graph when it has the last, so that nothing else in a shared database is ever looked at. Beside them a
Summary is found by its `key`, in whatever repository it was made.
"""

import asyncio
import logging
import random
from collections.abc import Iterable

from neo4j import AsyncDriver, AsyncSession
from neo4j.exceptions import Neo4jError, ServiceUnavailable, SessionExpired

from codestory.graph.driver import reaching, read, written_here
from codestory.graph.model import Label, checked_label
from codestory.graph.settings import GraphSettings

log = logging.getLogger(__name__)

FENCE_LABEL, BUDGET_LABEL = "_Fence", "_Budget"
#: What is indexed beside the labels of the graph. Of the first two there is one a key.
FENCES, BUDGETS, SUMMARIES = (FENCE_LABEL, "key"), (BUDGET_LABEL, "key"), (str(Label.SUMMARY), "key")
#: Processes that start together run the same statements at once; each loses a few rounds at most.
ATTEMPTS = 30

#: What is indexed: by label, by property.
Indexed = set[tuple[str, str]]


async def ensure(driver: AsyncDriver, settings: GraphSettings, labels: Iterable[str] = ()) -> None:
    """Make the schema for all labels of ours and for `labels`. Does nothing twice; safe in many processes at once."""
    wanted = {
        (str(label), key) for label in {*Label, *map(checked_label, labels)} for key in ("id", "repo", "_missing")
    }
    wanted |= {FENCES, BUDGETS, SUMMARIES}
    with reaching():
        async with driver.session(database=settings.neo4j_database) as session:
            for attempt in range(ATTEMPTS):
                missing = sorted(wanted - await _indexed(session))
                if await _made(session, missing, last=attempt == ATTEMPTS - 1):
                    return
                await asyncio.sleep(random.uniform(0.01, 0.1) * (attempt + 1))  # noqa: S311 - a pause, not a secret


async def labels(session: AsyncSession) -> tuple[str, ...]:
    """Every label that nodes of the graph may have, whoever owns it."""
    return tuple(sorted(label for label, key in await _indexed(session) if key == "_missing"))


async def _indexed(session: AsyncSession) -> Indexed:
    query = (
        "SHOW INDEXES YIELD entityType, labelsOrTypes, properties WHERE entityType = 'NODE' AND size(properties) = 1"
    )
    found = await read(session, query + " RETURN labelsOrTypes[0] AS label, properties[0] AS key")
    return {(row["label"], row["key"]) for row in found}


async def _made(session: AsyncSession, missing: list[tuple[str, str]], *, last: bool) -> bool:
    """Statements that make a schema run outside of transactions. False: somebody else was quicker, look again."""
    for label, key in missing:
        try:
            await (await session.run(written_here(_statement(label, key)))).consume()
        except (ServiceUnavailable, SessionExpired):
            raise
        except Neo4jError as error:
            if last:
                raise
            log.debug("graph.schema.retry", extra={"label": label, "code": error.code})
            return False
    return True


def _statement(label: str, key: str) -> str:
    if key == "id" or (label, key) in {FENCES, BUDGETS}:
        return f"CREATE CONSTRAINT {label}_{key} IF NOT EXISTS FOR (n:{label}) REQUIRE n.{key} IS UNIQUE"
    return f"CREATE INDEX {label}_{key.strip('_')} IF NOT EXISTS FOR (n:{label}) ON (n.{key})"
