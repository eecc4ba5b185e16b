"""What one Python file says by itself: its imports, and each mention of a name, with the scope it stands in."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from codestory_blarify.engines.scopes import Imported, Scope


class Role(Enum):
    CALLED = "called"
    BASE = "base"
    DECORATOR = "decorator"
    RAISED = "raised"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Mention:
    """A name, or attributes of one: `pkg.Order.create`. `owner`: the innermost definition around; None: the file.
    `place`: that of the whole expression, as the report writes it; of the call, if it is called."""

    role: Role
    owner: int | None
    path: tuple[str, ...]
    line: int
    place: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name. `name`: what the file calls it."""

    what: Imported
    name: str


@dataclass(slots=True)
class FileSyntax:
    path: str
    scope: Scope = field(default_factory=Scope)
    imports: list[Import] = field(default_factory=list[Import])
    mentions: list[Mention] = field(default_factory=list[Mention])
    #: What a class holds by name, by the class.
    members: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    #: Whose head an expression stands in (decorators, bases), by place: a report gives those of classes to the file.
    heads: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    #: Why the rest of the file is not here; empty if all of it is.
    problem: str = ""
    #: Places of base classes and of what is raised.
    not_uses: set[str] = field(default_factory=set[str])

    @property
    def stars(self) -> Iterator[Imported]:
        return (one.what for one in self.imports if one.what.name == "*")


def path_of(node: ast.expr) -> tuple[str, ...]:
    """`a.b.c` of names alone; empty for everything else."""
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.append(node.attr)
        node = node.value
    return (node.id, *reversed(path)) if isinstance(node, ast.Name) else ()


def place_of(node: ast.expr) -> str:
    """As the report writes it: lines and columns from 1, in UTF-8 bytes."""
    return f"{node.lineno}:{node.col_offset + 1}-{node.end_lineno}:{(node.end_col_offset or 0) + 1}"
