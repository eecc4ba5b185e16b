"""Things of a repository as subjects: their redacted texts, who makes their summaries, what their keys are made of."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from codestory.contracts.results import Gap
from codestory.files import paths
from codestory.files.repository import Unreadable
from codestory.graph import Label
from codestory_summarizer import keys, openings, withheld
from codestory_summarizer.extractive import Extractive
from codestory_summarizer.keys import Material
from codestory_summarizer.reading import Structure, Thing
from codestory_summarizer.subject import Related, Subject
from codestory_summarizer.texts import Redact, Text, Texts, own_code

#: Files that say what the directory around them is about, besides a README.
_SPEAKING = ("__init__.py", "doc.go", "mod.rs", "package-info.java", "index.ts", "index.js")
#: As much of a path as a gap may name.
_GAP_PATH = 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model gets to see. `identity`: of the provider; empty: there is none, rules make everything.
    `kinds`: of what it makes summaries; rules make the others. `code_chars`: longer code is cut."""

    identity: str
    kinds: Collection[str]
    code_chars: int


@dataclass(slots=True)
class _Look:
    """What one look at a thing found. `remark`: what a reader should know of a file that is not like others."""

    own: str = ""
    docstring: str = ""
    remark: str = ""
    by_rules: bool = True


class Subjects:
    """`look` once, then ask for the rest."""

    def __init__(self, structure: Structure, texts: Texts, redact: Redact, choice: Choice) -> None:
        things = [_redacted(thing, redact) for thing in structure.things]
        self._structure, self._texts, self._choice = replace(structure, things=things), texts, choice
        self._looks = [_Look() for _ in things]
        self._names = [redact(thing.name) for thing in things]
        self.gaps: list[Gap] = []
        #: Files of which no model sees anything, by reason; empty where there is no model.
        self.withheld = Counter[str]()

    def look(self, progress: Callable[[int, int, str], None]) -> None:
        """Read everything once: things lie in the order of their paths, so each file is read once."""
        files: dict[str, list[int]] = {}
        for at, thing in enumerate(self._structure.things):
            if thing.is_symbol or thing.label == Label.FILE:
                files.setdefault(thing.path, []).append(at)
        for number, (path, here) in enumerate(files.items()):
            progress(number, len(files), path)
            self._look_at_file(path, here)
        places = [at for at, thing in enumerate(self._structure.things) if _is_place(thing)]
        for at in sorted(places, key=self._depth, reverse=True):
            self._look_at_place(at)

    def by_rules(self, at: int) -> bool:
        return self._looks[at].by_rules

    def remark(self, at: int) -> str:
        return self._looks[at].remark

    def materials(self) -> list[Material]:
        return [self._material(at, look) for at, look in enumerate(self._looks)]

    def subject(self, at: int, only_seen: Collection[int], summary: Callable[[int], str]) -> Subject:
        """`only_seen`: what has no summary yet that it could be told.

        Unreadable or Changed if its code cannot be had any more; whoever needs none asks for `outline`."""
        thing = self._structure.things[at]
        code, truncated = self._code(at, self._text(thing))
        return self._subject(at, only_seen, summary, code=code, truncated=truncated)

    def outline(self, at: int, only_seen: Collection[int], summary: Callable[[int], str]) -> Subject:
        """All but the code."""
        return self._subject(at, only_seen, summary)

    def _subject(
        self,
        at: int,
        only_seen: Collection[int],
        summary: Callable[[int], str],
        *,
        code: str = "",
        truncated: bool = False,
    ) -> Subject:
        thing = self._structure.things[at]
        below = self._structure.dependencies[at]
        users = sorted(self._names[user] for user in self._structure.used_by[at])
        return Subject(
            kind=thing.kind,
            name=self._names[at],
            path=thing.path,
            language=thing.language,
            signature=_signature(thing),
            docstring=self._looks[at].docstring,
            code=code,
            truncated=truncated,
            dependencies=tuple(
                self._related(other, relation, summary(other)) for relation, other in below if other not in only_seen
            ),
            used_by=tuple(users),
            cycle=tuple(
                self._related(other, relation, self._structure.things[other].signature)
                for relation, other in below
                if other in only_seen
            ),
        )

    def _related(self, at: int, relation: str, summary: str) -> Related:
        return Related(self._names[at], self._structure.things[at].kind, relation, summary)

    def _material(self, at: int, look: _Look) -> Material:
        thing = self._structure.things[at]
        dependencies = [
            (relation, self._structure.things[other].kind, self._names[other], other)
            for relation, other in self._structure.dependencies[at]
        ]
        identity = Extractive.identity if look.by_rules else self._choice.identity
        return Material(identity, look.own, thing.signature, dependencies)

    def _look_at_file(self, path: str, here: Sequence[int]) -> None:
        things = self._structure.things
        file = next((things[at] for at in here if things[at].label == Label.FILE), None)
        remark = self._unseen(path, file, symbols=len(here) > (file is not None))
        text: Text | None = None
        if not remark:
            try:
                text = self._texts.of(path)
            except Unreadable as error:
                remark = withheld.unread(error.reason)
                self._gap(path, f"could not be read: {error.reason}")
            else:
                remark = withheld.by_content(text.head, text.chars, len(text.lines), file.language if file else "")
                if file and file.sha256 not in {"", text.sha256}:
                    self._gap(path, "changed since the filesystem step read it")
                elif _moved([things[at] for at in here if things[at].is_symbol], text):
                    self._gap(path, "changed since blarify read it")
        if remark and self._choice.identity:
            self.withheld[remark] += 1
        for at in here:
            self._look_at(at, text, remark)

    def _unseen(self, path: str, file: Thing | None, *, symbols: bool) -> str:
        """Why a file is not read at all."""
        if file and file.unread:
            return withheld.unread(file.unread)
        if file and file.lines is None and file.size:
            return withheld.NO_TEXT
        return withheld.by_name(path, file.language if file else "", file.size if file else 0, symbols=symbols)

    def _look_at(self, at: int, text: Text | None, remark: str) -> None:
        thing, look = self._structure.things[at], self._looks[at]
        code, truncated = self._code(at, text) if text else ("", False)
        if thing.is_symbol:
            look.docstring = thing.docstring
        else:
            look.remark = remark
            look.docstring = openings.of_file(text.head, thing.language) if text else ""
        look.by_rules = bool(remark) or self._left_to_rules(thing)
        look.own = self._own(at, remark, code, str(truncated))

    def _look_at_place(self, at: int) -> None:
        """What a directory is about is said by a file in it. Those further down have been looked at before."""
        thing, look = self._structure.things[at], self._looks[at]
        speaking: dict[int, str] = {}
        for _, below in self._structure.dependencies[at]:
            name = self._structure.things[below].name
            if name in _SPEAKING or name.upper().startswith("README"):
                speaking[_SPEAKING.index(name) + 1 if name in _SPEAKING else 0] = self._looks[below].docstring
        look.docstring = next((said for _, said in sorted(speaking.items()) if said), "")
        look.remark = withheld.unread(thing.unread) if thing.unread else ""
        look.by_rules = bool(look.remark) or self._left_to_rules(thing)
        look.own = self._own(at, look.remark)

    def _own(self, at: int, *more: str) -> str:
        thing, said = self._structure.things[at], self._looks[at].docstring
        return keys.own(thing.kind, self._names[at], thing.language, _signature(thing), said, *more)

    def _left_to_rules(self, thing: Thing) -> bool:
        return not self._choice.identity or thing.kind not in self._choice.kinds

    def _text(self, thing: Thing) -> Text | None:
        return None if _is_place(thing) else self._texts.of(thing.path)

    def _code(self, at: int, text: Text | None) -> tuple[str, bool]:
        """And whether it was cut."""
        if text is None:
            return "", False
        code, limit = own_code(self._structure.things[at], self._structure.held(at), text), self._choice.code_chars
        if len(code) <= limit:
            return code, False
        return code[:limit].rpartition("\n")[0] or code[:limit], True

    def _gap(self, path: str, reason: str) -> None:
        self.gaps.append(Gap(path=path if len(path) <= _GAP_PATH else f"…{path[1 - _GAP_PATH :]}", reason=reason))

    def _depth(self, at: int) -> int:
        path = self._structure.things[at].path
        return 0 if path == paths.ROOT else path.count("/") + 1


def _redacted(thing: Thing, redact: Redact) -> Thing:
    """The thing as others may see it. Its name stays, for it leads back to the graph."""
    if not thing.is_symbol:
        return thing
    return replace(thing, signature=redact(thing.signature), docstring=redact(thing.docstring))


def _signature(thing: Thing) -> str:
    """Of a file, how big it is."""
    if thing.label != Label.FILE or thing.unread:
        return thing.signature
    return f"{thing.size:,} bytes" if thing.lines is None else _counted(thing.lines, "line")


def _moved(symbols: Sequence[Thing], text: Text) -> bool:
    """Most of them are not where they were found. One may be called by what does not stand there."""
    lost = 0
    for symbol in symbols:
        name = symbol.name.rpartition(".")[2]
        lost += not any(name in line for line in text.part(symbol.start_line, symbol.end_line))
    return lost * 2 > len(symbols)


def _is_place(thing: Thing) -> bool:
    return thing.label in {Label.DIRECTORY, Label.REPOSITORY}


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
