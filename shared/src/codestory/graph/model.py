"""What the graph is made of: labels, relationship types, ids, rows."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from codestory.graph.errors import InvalidContent

Scalar = str | int | float | bool
Property = Scalar | list[str] | list[int] | list[float] | None


class Label(StrEnum):
    REPOSITORY = "Repository"
    DIRECTORY = "Directory"
    FILE = "File"
    CLASS = "Class"
    FUNCTION = "Function"
    METHOD = "Method"
    EXTERNAL = "External"
    SUMMARY = "Summary"
    DOCUMENT = "Document"
    SECTION = "Section"


class RelationshipType(StrEnum):
    CONTAINS = "CONTAINS"
    DEFINES = "DEFINES"
    CALLS = "CALLS"
    IMPORTS = "IMPORTS"
    INHERITS_FROM = "INHERITS_FROM"
    OVERRIDES = "OVERRIDES"
    INSTANTIATES = "INSTANTIATES"
    USES = "USES"
    SUMMARIZED_BY = "SUMMARIZED_BY"
    HAS_SECTION = "HAS_SECTION"
    DESCRIBES = "DESCRIBES"
    DOCUMENTED_BY = "DOCUMENTED_BY"
    LINKS_TO = "LINKS_TO"


@dataclass(frozen=True, slots=True)
class Node:
    """One label, one id. None among the properties means absent."""

    label: str
    id: str
    properties: Mapping[str, Property] = field(default_factory=dict[str, Property])


@dataclass(frozen=True, slots=True)
class Relationship:
    """Identity: the step that writes it, its type, both ends."""

    type: str
    source_label: str
    source: str
    target_label: str
    target: str
    properties: Mapping[str, Property] = field(default_factory=dict[str, Property])


@dataclass(frozen=True, order=True)
class Fence:
    """Which attempt writes: the broker's epoch (creation time of its event stream, microseconds since 1970) and the
    sequence of the attempt's `started` event. The later one wins.
    """

    epoch: int
    sequence: int


def node_id(repository: str, kind: str, path: str, qualified_name: str = "", ordinal: int = 0) -> str:
    """The id of a node: 32 hex digits, the same on every machine and in every mount.

    `kind` is the label; `path` as in the graph (relative, `/`); `ordinal` tells equals apart (0 for the first).
    """
    parts = (repository, kind, path, qualified_name, str(ordinal))
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


LABEL_PATTERN = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
RELATIONSHIP_TYPE_PATTERN = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
PROPERTY_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
OWNER_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")


@cache
def checked_label(label: str) -> str:
    """The label, which stands in query texts, if it is a plain name."""
    return _checked(label, LABEL_PATTERN, "label of a node", "Section")


@cache
def checked_type(name: str) -> str:
    return _checked(name, RELATIONSHIP_TYPE_PATTERN, "type of a relationship", "LINKS_TO")


@cache
def checked_property(name: str) -> str:
    return _checked(name, PROPERTY_PATTERN, "name of a property", "start_line")


def checked_amount(name: str) -> str:
    return _checked(name, OWNER_PATTERN, "name of an amount", "tokens")


def checked_owner(owner: str) -> str:
    return _checked(owner, OWNER_PATTERN, "name of a step", "count_lines")


def _checked(name: str, pattern: re.Pattern[str], what: str, example: str) -> str:
    if not pattern.fullmatch(name):
        raise InvalidContent(f"{name!r} is no {what}; it must match {pattern.pattern}, as {example} does")
    return str(name)
