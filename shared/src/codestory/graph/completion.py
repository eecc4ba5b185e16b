"""What is on record of a step's last whole run of one repository, and which steps are older than what they are made of.

The record stands on the step's own fence: it is voided with the first change that a run makes, and written once the run
has ended well, so that a killed run leaves none. The marks of stale steps stand on the Repository node (presence.py).
"""

from codestory.graph import presence
from codestory.graph.fence import FencedTransaction
from codestory.graph.schema import FENCE_LABEL
from codestory.graph.sweep import UNUSED

#: The record of a run that has changed something and has not ended.
VOID = ""


async def recorded(tx: FencedTransaction) -> str | None:
    """None: this step has never written here, nor ended. VOID: its last run did not end."""
    [row] = await tx.rows(f"MATCH (f:{FENCE_LABEL} {{key: $key}}) RETURN f.done AS done", key=tx.key)
    return row["done"]


async def record(tx: FencedTransaction, text: str) -> None:
    await tx.rows(f"MATCH (f:{FENCE_LABEL} {{key: $key}}) SET f.done = $text", key=tx.key, text=text)


async def begin(tx: FencedTransaction, repository: str, owner: str, later: tuple[str, ...]) -> None:
    """Before the first change. `later`: the steps that are stale from now on."""
    await presence.enter(tx, repository, owner)
    await record(tx, VOID)
    await _mark_stale(tx, repository, later)


async def end(tx: FencedTransaction, repository: str, owner: str, text: str) -> None:
    await record(tx, text)
    await _mark_fresh(tx, repository, owner)


async def _mark_stale(tx: FencedTransaction, repository: str, steps: tuple[str, ...]) -> None:
    """Those of the steps that have something here: the others are not old, but missing. After `presence.enter`."""
    if not steps:
        return
    query = f"UNWIND $keys AS key MATCH (f:{FENCE_LABEL} {{key: key}}) WHERE f.done IS NOT NULL RETURN f.key AS key"
    keys = {f"{repository}+{step}": step for step in steps}
    stale = [keys[row["key"]] for row in await tx.rows(query, keys=list(keys))]
    if stale:
        await tx.rows(
            "MATCH (r:Repository {id: $repo}) "
            "SET r.stale_steps = [step IN coalesce(r.stale_steps, []) WHERE NOT step IN $stale] + $stale",
            repo=repository,
            stale=sorted(stale),
        )


async def _mark_fresh(tx: FencedTransaction, repository: str, owner: str) -> None:
    """Lock first, then compute, as in presence.py; also before the node goes, which others may have just entered."""
    await tx.rows(
        "MATCH (r:Repository {id: $repo}) SET r._lock = $owner "
        "WITH r, [step IN coalesce(r.stale_steps, []) WHERE step <> $owner] AS left "
        "SET r.stale_steps = CASE WHEN size(left) = 0 THEN null ELSE left END",
        repo=repository,
        owner=owner,
    )
    await tx.rows(f"MATCH (n:Repository {{id: $repo}}) {UNUSED} DELETE n", repo=repository)
