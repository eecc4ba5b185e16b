"""What names mean in one Python file: scopes, and what they bind. Says nothing of other files."""

from collections.abc import Iterator
from dataclasses import dataclass, field

#: Of one name in one scope. Real code has a few; made code may have as many as lines.
_MOST_BINDINGS = 50


@dataclass(frozen=True, slots=True)
class Defined:
    """By `def` or `class`. `index` is None where that is no definition of the list."""

    line: int
    index: int | None


@dataclass(frozen=True, slots=True)
class Imported:
    """By `from module import name`, `level` dots before it; a whole module if `name` is empty, everything if `*`."""

    line: int
    module: str
    level: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """By an assignment of another name: `X = pkg.Y`."""

    path: tuple[str, ...]
    scope: "Scope"


@dataclass(frozen=True, slots=True)
class Receiver:
    """The first parameter of a method: `self` or `cls` of this class."""

    index: int


@dataclass(frozen=True, slots=True)
class Variable:
    """In a way that says nothing here: a parameter, a result, a loop."""


VARIABLE = Variable()

Binding = Defined | Imported | Alias | Receiver | Variable


@dataclass(slots=True, eq=False)
class Scope:
    parent: "Scope | None" = None
    #: The class whose body it is, if it is in the list; `is_class` says that it is one at all.
    index: int | None = None
    is_class: bool = False
    names: dict[str, list[Binding]] = field(default_factory=dict[str, "list[Binding]"])
    #: Names that a `global` gives to the module.
    of_module: set[str] = field(default_factory=set[str])

    def bind(self, name: str, binding: Binding) -> None:
        """Of very many bindings of one name the first ones and the last are kept."""
        scope = self.module if name in self.of_module else self
        bindings = scope.names.setdefault(name, [])
        if len(bindings) >= _MOST_BINDINGS:
            bindings.pop()
        bindings.append(binding)

    @property
    def module(self) -> "Scope":
        scope = self
        while scope.parent:
            scope = scope.parent
        return scope

    def look_up(self, name: str) -> list[Binding] | None:
        """What the name is bound to where it is read here, in no order; None if this file does not bind it."""
        for scope in self._visible():
            if name in scope.of_module:
                return self.module.names.get(name)
            if name in scope.names:
                return scope.names[name]
        return None

    def _visible(self) -> Iterator["Scope"]:
        """The body of a class is seen from itself only, not from its methods."""
        yield self
        scope = self.parent
        while scope:
            if not scope.is_class:
                yield scope
            scope = scope.parent


def by_rank(bindings: list[Binding]) -> list[Binding]:
    """Those that say something, the likeliest first: the last definition, then imports as tried, then an alias that
    is the only binding."""
    if len(bindings) == 1:
        return [] if isinstance(bindings[0], Variable) else bindings
    defined = sorted((one for one in bindings if isinstance(one, Defined)), key=lambda one: -one.line)
    imported = sorted((one for one in bindings if isinstance(one, Imported)), key=lambda one: one.line)
    receiver = [one for one in bindings[:1] if isinstance(one, Receiver)]
    return [*defined, *imported, *receiver]
