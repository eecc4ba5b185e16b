"""Summaries as the graph stores them: of this repository's last run, and what a model made for any other."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from codestory.graph import Label, Node, Relationship, RelationshipType, node_id
from codestory_summarizer.prompt import PROMPT_VERSION
from codestory_summarizer.provider import Usage
from codestory_summarizer.reading import Thing

#: Name of the provider that is no model.
EXTRACTIVE = "extractive"
#: Keys asked for at once.
_PAGE = 1_000
_PROPERTIES = (
    "key",
    "text",
    "status",
    "provider",
    "model",
    "reason",
    "truncated",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
)


class Status(StrEnum):
    """What became of a summary. Those that are filtered or failed have the text that rules make."""

    MADE = "made"
    TRUNCATED = "truncated"  # the model stopped at its limit
    FILTERED = "filtered"  # the endpoint's content filter refused it; it is not asked again for the same material
    FAILED = "failed"  # no usable answer; the next run asks again


@dataclass(frozen=True, slots=True)
class Stored:
    """`truncated`: the code was cut before a model saw it. `usage`: what the text took when it was made."""

    key: str
    text: str
    status: Status = Status.MADE
    provider: str = EXTRACTIVE
    model: str = ""
    reason: str = ""
    truncated: bool = False
    usage: Usage = field(default_factory=Usage)


class Reads(Protocol):
    def nodes(self, label: str, *properties: str) -> AsyncIterator[dict[str, Any]]: ...

    async def read(self, query: str, **parameters: Any) -> list[dict[str, Any]]: ...


def summary_id(repository: str, thing: Thing) -> str:
    """Of what summarizes the thing."""
    name = thing.name if thing.is_symbol else ""
    return node_id(repository, Label.SUMMARY, thing.path, f"{thing.label}:{name}", thing.ordinal)


def node(id_: str, thing: Thing, stored: Stored) -> Node:
    by_model, usage = stored.provider != EXTRACTIVE, stored.usage
    return Node(
        Label.SUMMARY,
        id_,
        {
            "text": stored.text,
            "kind": thing.kind,
            "key": stored.key,
            "status": stored.status,
            "reason": stored.reason or None,
            "provider": stored.provider,
            "model": stored.model or None,
            "prompt_version": PROMPT_VERSION if by_model else None,
            "truncated": stored.truncated or None,
            "input_tokens": usage.input if by_model else None,
            "cached_tokens": usage.cached if by_model else None,
            "output_tokens": usage.output if by_model else None,
            "tokens": usage.input + usage.output if by_model else 0,
        },
    )


def relationship(id_: str, thing: Thing) -> Relationship:
    return Relationship(RelationshipType.SUMMARIZED_BY, thing.label, thing.id, Label.SUMMARY, id_)


async def held(graph: Reads, *, by_model: bool) -> dict[str, Stored]:
    """Those of this repository, by id. Where rules make all of them their texts are of no use, and stay there."""
    names = _PROPERTIES if by_model else ("key", "status")
    return {row["id"]: _stored(row) async for row in graph.nodes(Label.SUMMARY, *names)}


async def elsewhere(graph: Reads, keys: Iterable[str]) -> dict[str, Stored]:
    """What a model made under these keys, for any repository: of several the one with the least id."""
    found: dict[str, Stored] = {}
    wanted = sorted({*keys})
    for at in range(0, len(wanted), _PAGE):
        for row in await graph.read(_ELSEWHERE, keys=wanted[at : at + _PAGE], made=[Status.MADE, Status.TRUNCATED]):
            found[row["key"]] = _stored(row)
    return found


_ELSEWHERE = f"""
UNWIND $keys AS key MATCH (s:{Label.SUMMARY} {{key: key}})
WHERE s._missing IS NULL AND s.status IN $made AND s.provider <> '{EXTRACTIVE}'
WITH key, min(s.id) AS id MATCH (n:{Label.SUMMARY} {{id: id}})
RETURN {", ".join(f"n.{name} AS {name}" for name in _PROPERTIES)}
"""


def _stored(row: Mapping[str, Any]) -> Stored:
    return Stored(
        key=row["key"] or "",
        text=row.get("text") or "",
        status=Status(row["status"]),
        provider=row.get("provider") or EXTRACTIVE,
        model=row.get("model") or "",
        reason=row.get("reason") or "",
        truncated=bool(row.get("truncated")),
        usage=Usage(*(row.get(f"{name}_tokens") or 0 for name in ("input", "cached", "output"))),
    )
