"""The statements that write nodes. A dropped node that others name is not deleted but emptied: it is a placeholder."""

from collections.abc import Iterable, Sequence

from codestory.graph.content import ALWAYS_VOLATILE
from codestory.graph.driver import Row
from codestory.graph.errors import Miscount
from codestory.graph.fence import FencedTransaction

#: For rows {id, props}. After a lost race the node may be there, or gone; never take one of another repository.
MERGE_OWN = (
    "MERGE (n:{label} {{id: r.id}}) ON CREATE SET n.repo = $repo WITH n, r WHERE n.repo = $repo SET n += r.props"
)


async def create_nodes(tx: FencedTransaction, repository: str, label: str, nodes: Sequence[Row]) -> None:
    stored = [{"id": node["id"], "props": {**node["props"], "repo": repository, "_missing": None}} for node in nodes]
    query = MERGE_OWN.format(label=label) if tx.again else f"CREATE (n:{label} {{id: r.id}}) SET n += r.props"
    await tx.send("nodes created", query, stored, repo=repository)
    if tx.again:
        await _look_again(tx, label, stored)


async def change_nodes(tx: FencedTransaction, repository: str, label: str, nodes: Sequence[Row]) -> None:
    """`SET n = …` would drop the marks of other owners: so what is no longer wanted is sent as null."""
    query = f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) RETURN id, {_KEYS} AS keys"
    there = {row["id"]: row["keys"] for row in await tx.rows(query, ids=[node["id"] for node in nodes])}
    stored = [
        {
            "id": node["id"],
            "props": {**_nulls(there.get(node["id"], ())), **node["props"], "repo": repository, "_missing": None},
        }
        for node in nodes
    ]
    query = MERGE_OWN.format(label=label) if tx.again else f"MATCH (n:{label} {{id: r.id}}) SET n += r.props"
    await tx.send("nodes changed", query, stored, repo=repository)
    await _look_again(tx, label, stored)


async def drop_nodes(tx: FencedTransaction, repository: str, label: str, ids: Sequence[str]) -> None:
    query = f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) RETURN id, {_KEYS} AS keys, {_USED} AS used"
    there = await tx.rows(query, ids=ids)
    if len(there) != len(ids):
        raise Miscount(f"{len(ids)} {label} nodes to drop, {len(there)} there. Something else changes the graph.")
    emptied = [
        {"id": row["id"], "props": {**_nulls(row["keys"]), "_hash": None, "_missing": repository}}
        for row in there
        if row["used"]
    ]
    free = [{"id": row["id"]} for row in there if not row["used"]]
    await tx.send("nodes emptied", f"MATCH (n:{label} {{id: r.id}}) SET n += r.props", emptied)
    # Never DETACH: a relationship that another owner has just made must stop it.
    await tx.send("nodes deleted", f"MATCH (n:{label} {{id: r.id}}) DELETE n", free)


async def _look_again(tx: FencedTransaction, label: str, nodes: Sequence[Row]) -> None:
    """A placeholder that was matched may be swept while SET waits for its lock. Neo4j then sets nothing, counts the row
    and says nothing; what is there after SET is locked and stays."""
    await tx.check("nodes", f"MATCH (n:{label} {{id: r.id}}) WHERE n._hash = r.props._hash", nodes)


#: Others name it, or it holds what is not its owner's.
_USED = "EXISTS { (n)--() } OR n.stale_steps IS NOT NULL"
#: The names of a node's properties, but for the volatile ones that some owner has set (see presence.py).
_KEYS = "[key IN keys(n) WHERE NOT key IN coalesce(n._volatile, [])]"


def _nulls(keys: Iterable[str]) -> Row:
    kept = {"id", "repo", *ALWAYS_VOLATILE}
    return {key: None for key in keys if key not in kept and not key.startswith("_")}
