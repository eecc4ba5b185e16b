"""Which steps are writing a repository, kept on its Repository node, and what they note there in passing.

The node may be a placeholder: filesystem, its owner, need not have written first. Lock first, then compute: Neo4j reads
before it locks.
"""

from collections.abc import Mapping

from neo4j import AsyncSession

from codestory.graph.driver import read
from codestory.graph.fence import FencedTransaction
from codestory.graph.model import Property
from codestory.graph.sweep import UNUSED


async def entered(session: AsyncSession, repository: str, owner: str) -> bool:
    """True also for an attempt that was killed before it could leave."""
    query = "MATCH (r:Repository {id: $repo}) WHERE $owner IN r.writing_steps RETURN r.id AS id"
    return bool(await read(session, query, repo=repository, owner=owner))


async def enter(tx: FencedTransaction, repository: str, owner: str) -> None:
    await tx.rows(
        "MERGE (r:Repository {id: $repo}) ON CREATE SET r.repo = $repo, r._missing = $repo SET r._lock = $owner WITH r "
        "SET r.writing_steps = [step IN coalesce(r.writing_steps, []) WHERE step <> $owner] + $owner",
        repo=repository,
        owner=owner,
    )
    # Another writer's last transaction may have deleted the node between MERGE and SET; see nodes.py.
    here = [{"id": repository, "owner": owner}]
    await tx.check("writing steps", "MATCH (n:Repository {id: r.id}) WHERE r.owner IN n.writing_steps", here)


async def leave(tx: FencedTransaction, repository: str, owner: str) -> None:
    await tx.rows(
        "MATCH (r:Repository {id: $repo}) SET r._lock = $owner "
        "WITH r, [step IN r.writing_steps WHERE step <> $owner] AS left "
        "SET r.writing_steps = CASE WHEN size(left) = 0 THEN null ELSE left END",
        repo=repository,
        owner=owner,
    )
    await tx.rows(f"MATCH (n:Repository {{id: $repo}}) {UNUSED} DELETE n", repo=repository)


async def note(tx: FencedTransaction, repository: str, owner: str, volatile: Mapping[str, Property]) -> None:
    """Volatile properties are not compared, so no difference would ever write them; `_volatile` tells readers which."""
    if volatile:
        await tx.rows(
            "MATCH (r:Repository {id: $repo}) SET r._lock = $owner WITH r SET r += $volatile, "
            "r._volatile = [key IN coalesce(r._volatile, []) WHERE NOT key IN $keys] + $keys",
            repo=repository,
            owner=owner,
            volatile=dict(volatile),
            keys=sorted(volatile),
        )
