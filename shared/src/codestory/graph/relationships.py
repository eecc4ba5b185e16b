"""The statements that write one owner's relationships, source by source, each with its mark in the same transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from neo4j import AsyncSession

from codestory.graph.batches import by_label
from codestory.graph.content import End, Key
from codestory.graph.difference import Edit
from codestory.graph.driver import Row, read
from codestory.graph.fence import FencedTransaction

VERBS = {"create": "relationships created", "change": "relationships changed", "delete": "relationships deleted"}


async def relationships_leaving(
    session: AsyncSession, owner: str, sources: Sequence[Key], labels: Sequence[str]
) -> dict[Key, dict[End, str]]:
    """The hashes of what leaves these sources, which have one label."""
    if not sources:
        return {}
    label = sources[0][0]
    there: dict[Key, dict[End, str]] = defaultdict(dict)
    for row in await read(
        session,
        f"UNWIND $ids AS id MATCH (a:{label} {{id: id}})-[e]->(b) WHERE e.owner = $owner RETURN id, type(e) AS type,"
        " [l IN labels(b) WHERE l IN $labels][0] AS label, b.id AS b, e._hash AS hash",
        ids=[id_ for _, id_ in sources],
        owner=owner,
        labels=labels,
    ):
        there[label, row["id"]][row["type"], row["label"], row["b"]] = row["hash"]
    return there


async def write_relationships(
    tx: FencedTransaction,
    repository: str,
    owner: str,
    *,
    edits: Sequence[Edit],
    marks: Mapping[Key, str | None],
    own: AbstractSet[Key],
) -> None:
    """`marks`: what each source says afterwards; None: nothing of this owner's leaves it. `own`: nodes surely there."""
    await _place_ends(tx, repository, _ends(edits, marks) - own)
    kinds: dict[tuple[str, str, str, str], list[Row]] = defaultdict(list)
    for edit in edits:
        type_, end_label, end = edit.end
        label, source = edit.source
        kinds[edit.what, label, type_, end_label].append({"a": source, "b": end, "props": edit.properties})
    for (what, label, type_, end_label), rows in sorted(kinds.items()):
        pair = f"MATCH (a:{label} {{id: r.a}}) MATCH (b:{end_label} {{id: r.b}})"
        await tx.send(VERBS[what], f"{pair} {_action(what, type_)}", rows, owner=owner)
    await _mark(tx, owner, marks)


def _action(what: str, type_: str) -> str:
    mine = f"MATCH (a)-[e:{type_}]->(b) WHERE e.owner = $owner"
    match what:
        case "create":
            return f"CREATE (a)-[e:{type_}]->(b) SET e = r.props"
        case "change":
            return f"{mine} SET e = r.props"
        case _:
            return f"{mine} DELETE e"


def _ends(edits: Iterable[Edit], marks: Mapping[Key, str | None]) -> set[Key]:
    ends = {source for source, mark in marks.items() if mark}
    for edit in edits:
        if edit.what == "create":
            ends |= {edit.source, edit.end[1:]}
    return ends


async def _place_ends(tx: FencedTransaction, repository: str, ends: Iterable[Key]) -> None:
    """A node that is named before its owner has written it is a placeholder."""
    for label, ids in by_label(sorted(ends)):
        query = f"UNWIND $ids AS id MERGE (n:{label} {{id: id}}) ON CREATE SET n.repo = $repo, n._missing = $repo"
        await tx.rows(query, ids=ids, repo=repository)


async def _mark(tx: FencedTransaction, owner: str, marks: Mapping[Key, str | None]) -> None:
    for label, ids in by_label(sorted(marks)):
        query = f"MATCH (n:{label} {{id: r.id}}) SET n._out_{owner} = r.mark"
        rows = [{"id": id_, "mark": marks[label, id_]} for id_ in ids]
        marked = [row for row in rows if row["mark"]]
        await tx.check("marks of relationships", query, marked)
        if unmarked := [row for row in rows if not row["mark"]]:  # they may be swept already
            await tx.rows(f"UNWIND $rows AS r {query}", rows=unmarked)
