"""What one owner says of one repository: hashes in memory, properties on disk once they are many. Knows no server."""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any, Self

from codestory.graph.errors import InvalidContent
from codestory.graph.model import PROPERTY_PATTERN, Node, Property, Relationship, checked_label, checked_type

#: Label and id of a node.
Key = tuple[str, str]
#: The far end of a relationship, seen from its source: type, label, id.
End = tuple[str, str, str]

Properties = dict[str, Any]

#: On the Repository node; never compared, never in the digest.
ALWAYS_VOLATILE = frozenset({"ingested_at", "writing_steps", "stale_steps"})
#: Names that the writer itself sets. Names with a leading underscore are its marks.
RESERVED_ON_NODES = frozenset({"id", "repo", "writing_steps", "stale_steps"})
RESERVED_ON_RELATIONSHIPS = frozenset({"owner"})

#: `default`: a graph changed by hand may hold what we never write, as dates.
ENCODER = json.JSONEncoder(sort_keys=True, default=str)

INTEGERS = range(-(2**63), 2**63)


@dataclass(slots=True)
class WantedNode:
    hash: str
    at: int


@dataclass(slots=True)
class WantedSource:
    """The relationships that leave one node: where each one's properties are, and the sum of all their hashes."""

    edges: dict[End, int] = field(default_factory=dict[End, int])
    total: int = 0

    @property
    def mark(self) -> str:
        """Count and hash, as kept on the source's node. A sum, so that order does not matter."""
        return f"{len(self.edges)}:{self.total % 2**128:032x}"


class Content:
    """Nodes and relationships as they are to be. Close it: it may hold a temporary file."""

    def __init__(self, owned: Iterable[str], memory_bytes: int) -> None:
        self.nodes: dict[Key, WantedNode] = {}
        self.sources: dict[Key, WantedSource] = {}
        self._owned = frozenset(owned)
        self._spool = tempfile.SpooledTemporaryFile[bytes](max_size=memory_bytes)
        self._end = 0
        self._reading = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._spool.close()

    @property
    def labels(self) -> set[str]:
        """Every label that is named: of nodes, sources and far ends."""
        named = {label for label, _ in self.nodes.keys() | self.sources.keys()}
        return named | {label for source in self.sources.values() for _, label, _ in source.edges}

    @property
    def relationship_count(self) -> int:
        return sum(len(source.edges) for source in self.sources.values())

    def add_node(self, node: Node) -> None:
        key = (str(node.label), checked_id(node.id))
        if node.label not in self._owned:
            raise InvalidContent(f"this step does not own {node.label} nodes; say so in its `owns`")
        try:
            text = canonical(node.properties, RESERVED_ON_NODES)
        except InvalidContent as error:
            raise InvalidContent(f"{node.label} {node.id}: {error}") from error
        known = self.nodes.get(key)
        if known is None:
            self.nodes[key] = WantedNode(hash_of(text), self._put(text))
        elif known.hash != hash_of(text):
            raise InvalidContent(f"two different contents for {node.label} {node.id}")

    def add_relationship(self, edge: Relationship) -> None:
        end = (checked_type(edge.type), checked_label(edge.target_label), checked_id(edge.target))
        source = self.sources.setdefault((checked_label(edge.source_label), checked_id(edge.source)), WantedSource())
        try:
            text = canonical(edge.properties, RESERVED_ON_RELATIONSHIPS)
        except InvalidContent as error:
            raise InvalidContent(f"{edge.type} from {edge.source} to {edge.target}: {error}") from error
        known = source.edges.get(end)
        if known is None:
            source.edges[end] = self._put(text)
            source.total += int(hash_of([*end, text]), 16)
        elif self._text(known) != text:
            raise InvalidContent(f"two different contents for {edge.type} from {edge.source} to {edge.target}")

    def properties(self, at: int) -> tuple[Properties, str, int]:
        """The properties put there, their hash, and how many bytes they are."""
        text = self._text(at)
        return json.loads(text), hash_of(text), len(text)

    def _put(self, text: str) -> int:
        at = self._end
        if self._reading:  # a seek flushes, so not for every row
            self._spool.seek(at)
            self._reading = False
        self._end += self._spool.write(text.encode("ascii") + b"\n")
        return at

    def _text(self, at: int) -> str:
        self._spool.seek(at)
        self._reading = True
        return self._spool.readline()[:-1].decode("ascii")


def canonical(properties: Mapping[str, Property], reserved: frozenset[str] = frozenset()) -> str:
    """One line of JSON in ASCII, the same for the same properties. A graph keeps no nulls, so it has none."""
    kept = {key: _value(key, value) for key, value in properties.items() if value is not None}
    for key in kept:
        if key in reserved or not _plain(key):
            raise InvalidContent(f"{key!r} cannot be a property: it is reserved or not a plain name")
    return ENCODER.encode(kept)


def hash_of(value: object) -> str:
    """32 hex digits. A string stands for itself, anything else for its JSON."""
    text = value if isinstance(value, str) else ENCODER.encode(value)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def _plain(key: str) -> bool:
    return PROPERTY_PATTERN.fullmatch(key) is not None


def checked_id(node: str) -> str:
    if not node or not _sendable(node) or "\0" in node:
        raise InvalidContent(f"{node!r} cannot be the id of a node")
    return node


def _value(key: str, value: object) -> object:
    if isinstance(value, list | tuple):
        return _array(key, list(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - checked there
    return _scalar(key, value)


def _array(key: str, values: list[object]) -> list[object]:
    """Of one kind: Neo4j turns the integers of a mixed list into floats and refuses the rest."""
    kinds = {type(value) for value in values}
    if len(kinds) > 1 and kinds != {int, float}:
        raise InvalidContent(f"the values of {key!r} are of several kinds")
    scalars = [_scalar(key, value) for value in values]
    return [float(value) for value in scalars] if float in kinds else [*scalars]


def _scalar(key: str, value: object) -> str | float | bool:
    match value:
        case bool():
            return value
        case str():
            return value if _sendable(value) else value.encode("utf-8", "backslashreplace").decode("utf-8")
        case int() if value in INTEGERS:
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            raise InvalidContent(f"the value of {key!r} is none that a graph can hold: {value!r:.80}")


def _sendable(text: str) -> bool:
    """Half of a surrogate pair, as in a name that is not UTF-8, cannot be sent."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
