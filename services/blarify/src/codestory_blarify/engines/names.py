"""Which definition or module a name means, followed through the imports of a repository by syntax alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from codestory_blarify.engines.roots import Roots
from codestory_blarify.engines.scopes import Alias, Binding, Defined, Imported, Receiver, Scope, by_rank
from codestory_blarify.engines.syntax import FileSyntax

#: A name is followed through as many imports, aliases and base classes; longer chains are circles.
_FAR = 24
#: As many base classes are looked at; made code may chain as many as it has lines.
_MOST_BASES = 200


@dataclass(frozen=True, slots=True)
class Module:
    """A file or folder that can be imported, by its location (see Roots)."""

    location: str


#: A definition by its index, or a module.
Thing = int | Module


class Names:
    """`bases`: the base classes of a class."""

    def __init__(self, roots: Roots, files: Mapping[str, FileSyntax], bases: Callable[[int], Sequence[int]]) -> None:
        self._roots = roots
        self._files = files
        self._bases = bases
        self._members = {index: members for file in files.values() for index, members in file.members.items()}
        self._known: dict[tuple[str, str], Thing | None] = {}

    def follow(self, path: tuple[str, ...], scope: Scope, file: FileSyntax) -> list[Thing]:
        """What each part of the path means, as far as that can be told: the module, the class and the method of
        `shop.Order.create`. `self` in a method means its class."""
        return self._follow(path, scope, file, 0)

    def _follow(self, path: tuple[str, ...], scope: Scope, file: FileSyntax, far: int) -> list[Thing]:
        thing = self._first(path[0], scope, file, far)
        things: list[Thing] = []
        for name in path[1:]:
            if thing is None:
                return things
            things.append(thing)
            thing = self._member(thing, name, far)
        return things if thing is None else [*things, thing]

    def _first(self, name: str, scope: Scope, file: FileSyntax, far: int) -> Thing | None:
        bindings = scope.look_up(name)
        if bindings is None:
            return self._from_stars(name, file, far)
        return self._meaning(bindings, file, far)

    def _meaning(self, bindings: list[Binding], file: FileSyntax, far: int) -> Thing | None:
        """Of the likeliest binding that leads to something of the repository."""
        found = (self._bound(binding, file, far + 1) for binding in by_rank(bindings))
        return next((thing for thing in found if thing is not None), None)

    def _bound(self, binding: Binding, file: FileSyntax, far: int) -> Thing | None:
        if far > _FAR:
            return None
        match binding:
            case Defined(index=index) | Receiver(index=index):
                return index
            case Imported():
                return self.imported(binding, file.path, far)
            case Alias(path=path, scope=scope):
                things = self._follow(path, scope, file, far)
                return things[-1] if len(things) == len(path) else None
            case _:
                return None

    def imported(self, what: Imported, importer: str, far: int = 0) -> Thing | None:
        """None: from outside of the repository, or nothing that we know."""
        module = self.module(what, importer)
        if module is None or not what.name:
            return module
        return self._member(module, what.name, far + 1)

    def module(self, what: Imported, importer: str) -> Module | None:
        """The module that an import names, or takes a name from."""
        if what.level:
            location = self._roots.locate_relative(what.module, what.level, importer)
        else:
            location = self._roots.locate(what.module, importer)
        return None if location is None else Module(location)

    def file_of(self, thing: Thing) -> str | None:
        return self._roots.file_of(thing.location) if isinstance(thing, Module) else None

    def _member(self, thing: Thing, name: str, far: int) -> Thing | None:
        if far > _FAR:
            return None
        if isinstance(thing, int):
            return self.member_of_class(thing, name)
        key = thing.location, name
        if key not in self._known:
            self._known[key] = None  # in a circle of imports this is the answer
            self._known[key] = self._of_module(thing, name, far + 1)
        return self._known[key]

    def _of_module(self, module: Module, name: str, far: int) -> Thing | None:
        file = self._files.get(self.file_of(module) or "")
        if file:
            bindings = file.scope.names.get(name)
            found = self._from_stars(name, file, far) if bindings is None else self._meaning(bindings, file, far)
            if found is not None or bindings:
                return found
        inner = f"{module.location}/{name}" if module.location else name
        return Module(inner) if self._roots.exists(inner) else None

    def _from_stars(self, name: str, file: FileSyntax, far: int) -> Thing | None:
        if name.startswith("_") or far > _FAR:
            return None
        modules = (self.module(star, file.path) for star in file.stars)
        found = (self._member(module, name, far + 1) for module in modules if module)
        return next((thing for thing in found if thing is not None), None)

    def member_of_class(self, index: int, name: str) -> int | None:
        """Also an inherited one."""
        return next(
            (found for one in self._line_of(index) if (found := self._members.get(one, {}).get(name)) is not None), None
        )

    def _line_of(self, index: int) -> Iterator[int]:
        """The class, then its bases; depth first, which differs from Python's order in diamonds only."""
        seen: set[int] = set()
        waiting = [index]
        while waiting and len(seen) < _MOST_BASES:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                yield one
                waiting.extend(reversed(self._bases(one)))
