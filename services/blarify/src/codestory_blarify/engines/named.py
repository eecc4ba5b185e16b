"""References that names and scopes tell: imports, base classes, annotations, mentions, and calls no type resolves."""

from collections.abc import Sequence

from codestory_blarify.definitions import Definition
from codestory_blarify.engines.collected import SYNTAX, Collected
from codestory_blarify.engines.names import Names, Thing
from codestory_blarify.engines.scopes import Receiver
from codestory_blarify.engines.syntax import FileSyntax, Import, Mention, Role
from codestory_blarify.engines.typed import same_name
from codestory_blarify.references import End, External


class NamedReferences:
    """Reads the syntax of one file after the other into `collected`."""

    def __init__(self, names: Names, definitions: Sequence[Definition], collected: Collected) -> None:
        self._names = names
        self._definitions = definitions
        self._collected = collected

    def imports(self, file: FileSyntax) -> None:
        for one in file.imports:
            target = self._imported(one, file.path)
            if target is not None and target != file.path:
                self._collected.add("IMPORTS", file.path, target, one.what.line, name=one.name, by=SYNTAX)

    def _imported(self, one: Import, importer: str) -> End | None:
        """A definition; else the file: of the module that is imported, or that a variable is imported from."""
        what = one.what
        module = self._names.module(what, importer)
        if module is None:
            return External(what.module.partition(".")[0]) if not what.level else None
        thing = module if what.name in {"", "*"} else self._names.imported(what, importer)
        if isinstance(thing, int):
            return thing
        return self._names.file_of(thing or module) or self._names.file_of(module)

    def bases(self, file: FileSyntax) -> list[tuple[int, int, int]]:
        """Class, base class, line."""
        found: list[tuple[int, int, int]] = []
        for mention in file.mentions:
            if mention.role is Role.BASE and mention.owner is not None:
                things = self._names.follow(mention.path, mention.scope, file)
                last = things[-1] if len(things) == len(mention.path) else None
                if isinstance(last, int) and self._is_class(last):
                    found.append((mention.owner, last, mention.line))
        return found

    def mentions(self, file: FileSyntax, answered: set[str]) -> None:
        """`answered`: the places of calls that need nothing from here."""
        for mention in file.mentions:
            source = file.path if mention.owner is None else mention.owner
            things = self._names.follow(mention.path, mention.scope, file)
            whole = len(things) == len(mention.path)
            of_self = any(isinstance(one, Receiver) for one in mention.scope.look_up(mention.path[0]) or ())
            for thing in things[int(of_self) : -1 if whole else None]:
                self._uses(thing, source, mention)
            if whole and mention.place not in answered:
                self._last(things[-1], source, mention, of_self)

    def _last(self, thing: Thing, source: int | str, mention: Mention, of_self: bool) -> None:
        """What the whole path names. Of `self.name` the types say whether it is a property."""
        if not isinstance(thing, int) or (of_self and (mention.role is not Role.CALLED or len(mention.path) == 1)):
            return
        match mention.role:
            case Role.CALLED:
                self._calls(thing, source, mention)
            case Role.RAISED if self._is_class(thing):
                self._calls(thing, source, mention)
            case Role.BASE:
                pass
            case _:
                self._uses(thing, source, mention)

    def _calls(self, index: int, source: int | str, mention: Mention) -> None:
        if not self._is_class(index):
            self._collected.add("CALLS", source, index, mention.line, by=SYNTAX)
            return
        self._collected.add("INSTANTIATES", source, index, mention.line, by=SYNTAX)
        constructor = self._names.member_of_class(index, "__init__")
        if constructor is not None:
            self._collected.add("CALLS", source, constructor, mention.line, by=SYNTAX)

    def _uses(self, thing: Thing, source: int | str, mention: Mention) -> None:
        accessor = (
            mention.role is Role.DECORATOR and isinstance(thing, int) and same_name(self._definitions, source, thing)
        )
        if isinstance(thing, int) and not accessor:
            self._collected.add("USES", source, thing, mention.line, by=SYNTAX)

    def _is_class(self, thing: Thing) -> bool:
        return isinstance(thing, int) and self._definitions[thing].label == "Class"
