"""Summaries by rules alone: what a subject says of itself, takes, uses and holds, and who uses it. Sends nothing.

Deterministic: the same subject has the same text on every machine. A text is at most MAX_CHARS long."""

import re
from collections.abc import Iterator, Sequence

from codestory_summarizer import openings
from codestory_summarizer.prompt import one_line, shortened
from codestory_summarizer.provider import Reply
from codestory_summarizer.subject import Related, Subject

MAX_CHARS = 600
#: Names in one list; of more, the rest is counted.
MAX_NAMES = 5
MAX_NAME_CHARS = 60
#: What of another's summary is repeated.
MAX_QUOTE_CHARS = 160

_SYMBOLS = frozenset({"function", "method", "class"})
#: How the facts of a subject begin, by the relation, in the order in which they are told.
_USES = (
    ("inherits from", "inherits from"),
    ("overrides", "overrides"),
    ("instantiates", "creates"),
    ("calls", "calls"),
    ("uses", "uses"),
    ("imports", "imports"),
)
_PLURALS = {"class": "classes", "directory": "directories"}
_OPEN, _CLOSE = "([{<", ")]}>"
_UNNAMED = frozenset({"self", "cls", "this", "void"})
_NAMED_FIRST = re.compile(
    r"^[*&.\s]*(?:(?:public|private|protected|readonly|final|const|mut|ref|var|let)\s+)*([^\W\d]\w*)"
)
_NAMED_LAST = re.compile(r"([$@]?[^\W\d]\w*)[\s\[\]]*(?:=.*)?$", re.DOTALL)
#: Languages in which a parameter begins with its name; in others it ends with it.
_NAMES_FIRST = frozenset({"Python", "TypeScript", "JavaScript", "Go", "Rust", "Kotlin", "Ruby", "Swift", "Scala"})
_RETURNS = re.compile(r"\s*(?:->|:)\s*([^{};]{1,80}?)\s*:?\s*[{;]?\s*$")


class Extractive:
    """The provider that needs no model."""

    identity = "extractive/1"
    destination = ""

    def tokens(self, subject: Subject) -> int:  # noqa: ARG002 - whatever it is, there is no model
        return 0

    async def summarize(self, subject: Subject) -> Reply:
        return Reply(summary(subject))

    async def close(self) -> None:
        """Nothing is open."""


def summary(subject: Subject, remark: str = "") -> str:
    """`remark`: why nothing more is said of it, such as that it holds secrets."""
    sentences = [_opening(subject)]
    if remark:
        sentences.append(f"{remark[0].upper()}{remark[1:]}.")
    room = MAX_CHARS - len(" ".join(sentences)) - 2
    facts: list[str] = []
    for fact in _facts(subject):
        if room < len(fact) + 2:
            break
        room -= len(fact) + 2
        facts.append(fact)
    if facts:
        told = "; ".join(facts)
        sentences.append(f"{told[0].upper()}{told[1:]}.")
    if subject.kind == "file" and not subject.docstring:
        sentences += _quotes(subject, room)
    return shortened(one_line(" ".join(sentences)), MAX_CHARS)


def _quotes(subject: Subject, room: int) -> Iterator[str]:
    """What a file says nothing of itself for, the main things in it may say."""
    held = [other for other in subject.dependencies if other.relation == "contains"]
    for other in sorted(held, key=lambda other: other.kind != "class"):
        said = f"{_name(other.name)}: {_first(other.summary)}"
        if not other.summary or other.summary.startswith("Undocumented "):
            continue
        if room < len(said) + 1:
            return
        room -= len(said) + 1
        yield said


def _first(summary: str) -> str:
    """Its first sentence."""
    return shortened(re.split(r"(?<=[.!?])\s", summary, maxsplit=1)[0], MAX_QUOTE_CHARS)


def _opening(subject: Subject) -> str:
    said = openings.of_docstring(subject.docstring)
    if said:
        return said
    name = _name(subject.name)
    if subject.kind not in _SYMBOLS:
        what = " ".join(filter(None, [subject.language, subject.kind]))
        size = f" of {subject.signature}" if subject.signature else ""
        return f"{what[0].upper()}{what[1:]}{f' {name}' if name else ''}{size}."
    if quoted := next((_quote(other) for other in subject.dependencies if other.relation == "overrides"), ""):
        return quoted
    return f"Undocumented {subject.kind} {name}."


def _quote(overridden: Related) -> str:
    """What is overridden says what this is for."""
    if not overridden.summary or overridden.summary.startswith("Undocumented "):
        return ""
    return f"As {_name(overridden.name)}: {_first(overridden.summary)}"


def _facts(subject: Subject) -> Iterator[str]:
    if subject.kind in {"function", "method"}:
        yield from _signature(subject)
    related = [*subject.dependencies, *subject.cycle]
    for relation, verb in _USES:
        if names := [other.name for other in related if other.relation == relation]:
            yield f"{verb} {_listed(names)}"
    yield from _held([other for other in related if other.relation in {"contains", "defines"}])
    if subject.used_by:
        count, names = len(subject.used_by), list(dict.fromkeys(subject.used_by))
        verb = "called by" if subject.kind in {"function", "method"} else "used by"
        yield f"{verb} {f'{count:,}: ' if count > 1 else ''}{_listed(names)}"


def _held(held: Sequence[Related]) -> Iterator[str]:
    kinds: dict[str, list[str]] = {}
    for other in held:
        kinds.setdefault(other.kind, []).append(other.name.rpartition(".")[2] if other.kind in _SYMBOLS else other.name)
    for kind, names in kinds.items():
        many = _PLURALS.get(kind, f"{kind}s")
        # A getter and its setter have one name.
        listed = _listed(list(dict.fromkeys(names)))
        yield f"holds {f'{len(names):,} {many}: ' if len(names) > 1 else f'the {kind} '}{listed}"


def _signature(subject: Subject) -> Iterator[str]:
    parts = _parameters(subject.signature)
    if parts is None:
        return
    parameters, rest = parts
    pattern = _NAMED_FIRST if subject.language in _NAMES_FIRST else _NAMED_LAST
    named = [match[1] for text in parameters if (match := pattern.search(text))]
    if named := [name for name in named if name not in _UNNAMED]:
        yield f"takes {_listed(named)}"
    returns = _RETURNS.match(rest)
    if returns and returns[1] not in {"None", "void", "undefined", "()"} and any(map(str.isalpha, returns[1])):
        yield f"returns {_name(returns[1])}"


def _parameters(signature: str) -> tuple[list[str], str] | None:
    """What stands between the first parentheses, cut at its own commas, and what follows them."""
    start = signature.find("(")
    if start < 0:
        return None
    if signature.startswith("func ("):  # Go: the receiver comes first
        start = signature.find("(", signature.find(")"))
    depth, parts, begin = 0, list[str](), start + 1
    for at in range(max(start, 0), len(signature)):
        char = signature[at]
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE and signature[at - 1 : at + 1] not in {"->", "=>"}:
            depth -= 1
            if not depth:
                parts.append(signature[begin:at])
                return [part.strip() for part in parts if part.strip()], signature[at + 1 :]
        elif char == "," and depth == 1:
            parts.append(signature[begin:at])
            begin = at + 1
    return None


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c, d, e and 3 more`."""
    shown = [_name(name) for name in names[:MAX_NAMES]]
    if len(names) > MAX_NAMES:
        return f"{', '.join(shown)} and {len(names) - MAX_NAMES:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _name(name: str) -> str:
    """On one line, and not longer than a list can bear: the end of a path or a qualified name says more."""
    name = " ".join(name.split())
    return name if len(name) <= MAX_NAME_CHARS else f"…{name[1 - MAX_NAME_CHARS :]}"
