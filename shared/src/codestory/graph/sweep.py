"""Deletes placeholders that no relationship names any more, whoever made them."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from neo4j import AsyncSession

from codestory.graph.driver import read
from codestory.graph.fence import FencedTransaction, Transactions

#: Spares a Repository while a step is in its `writing_steps` or `stale_steps`.
UNUSED = "WHERE n._missing = $repo AND n.writing_steps IS NULL AND n.stale_steps IS NULL AND NOT EXISTS { (n)--() }"


async def sweep(
    session: AsyncSession, transaction: Transactions, repository: str, labels: Sequence[str], batch: int
) -> AsyncIterator[None]:
    """One turn a transaction; none when there is nothing to sweep."""
    finds = {label: f"MATCH (n:{label} {{_missing: $repo}}) {UNUSED}" for label in labels}
    look = " UNION ALL ".join(f"{find} RETURN '{label}' AS label LIMIT 1" for label, find in finds.items())
    while found := await read(session, look, repo=repository):
        for label in {row["label"] for row in found}:
            find = finds[label]
            await transaction(partial(_delete, label=label, find=find, repository=repository, batch=batch))
            yield


async def _delete(tx: FencedTransaction, *, label: str, find: str, repository: str, batch: int) -> None:
    """Lock (SET), look again in a second statement, then delete: its owner may have filled a node meanwhile."""
    query = f"{find} WITH n LIMIT $batch SET n.repo = $repo RETURN n.id AS id"
    found = await tx.rows(query, repo=repository, batch=batch)
    query = f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) {UNUSED} DELETE n RETURN count(*) AS n"
    [row] = await tx.rows(query, ids=[row["id"] for row in found], repo=repository)
    tx.written["placeholders deleted"] += row["n"]
