"""Ignore rules as git reads them. Pure: lines in, verdicts out; who reads the files is no business of this one.

The matching is our own because this is the text of strangers and decides about folders, too. pathspec, the library for
it, asks whether a *file* lies under a match (`a/**` would drop `a`, and with it what `!a/b` wants back), and makes
regular expressions that need minutes for one name (`*a*a*a*a*ab`). Here a rule is matched name by name, each in linear
time, and the tests hold the result to git's own.

Names are text decoded as latin-1: git matches bytes, so `?` is a byte, and a name need not be UTF-8.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: A rule file longer than this is a mistake or an attack; git's own largest templates have a few hundred lines.
MAX_RULES = 10_000

#: What one name of a rule matches; None is `**`: any number of directories.
Name = re.Pattern[str] | None
#: What stands for any name.
_ANYTHING = re.compile("", re.DOTALL)
#: What matches no name.
_NOTHING = re.compile(r"(?!)")
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class BadPattern(ValueError):
    """The pattern can match nothing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that was passed over. Line 0: the whole file was."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. `names`: one expression for each name of the path; `anywhere`: the last name alone counts."""

    names: tuple[Name, ...]
    negated: bool
    directories_only: bool
    anywhere: bool

    def matches(self, path: Sequence[str], *, directory: bool) -> bool:
        if self.directories_only and not directory:
            return False
        return _match(self.names, path[-1:] if self.anywhere else path)


class Rules:
    """The rules of one file, for the paths below the directory that it lies in."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)[::-1]
        self._elsewhere = any(not rule.anywhere for rule in self._rules)
        # Most names match no rule: one look says so of all the rules that see the name alone.
        alone = [name.pattern for rule in self._rules if rule.anywhere and (name := rule.names[0])]
        self._some = re.compile("|".join(f"(?:{pattern})" for pattern in alone) or r"(?!)", re.DOTALL)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def verdict(self, path: Sequence[str], *, directory: bool) -> bool | None:
        """Whether `path`, relative to these rules' directory, is ignored. None: no rule says. The last rule counts.

        Only about the path itself: whoever walks does not enter a directory that is ignored.
        """
        if not self._elsewhere and not self._some.match(path[-1]):
            return None
        return next((not rule.negated for rule in self._rules if rule.matches(path, directory=directory)), None)


@dataclass(frozen=True, slots=True)
class Scope:
    """The rules that hold in a directory: its own before those of the directories above."""

    rules: Rules
    #: How many names lead to the directory that the rules lie in.
    depth: int = 0
    above: "Scope | None" = None

    def verdict(self, path: Sequence[str], *, directory: bool) -> bool | None:
        """Whether `path`, relative to the repository, is ignored. None: no rule says."""
        scope: Scope | None = self
        while scope is not None:
            verdict = scope.rules.verdict(path[scope.depth :], directory=directory)
            if verdict is not None:
                return verdict
            scope = scope.above
        return None

    def within(self, rules: Rules, depth: int) -> "Scope":
        """The scope of a directory below, with rules of its own."""
        return Scope(rules, depth, self) if rules else self


def parse(text: bytes) -> tuple[Rules, list[Problem]]:
    """The rules of an ignore file, and the lines that could not be understood."""
    if b"\0" in text:
        return Rules(()), [Problem(0, "not text that git could read (UTF-16?)")]
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if len(lines) > MAX_RULES:
        return Rules(()), [Problem(0, f"more than {MAX_RULES:,} lines")]
    rules: list[Rule] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, 1):
        try:
            rules.extend(_rule(line.removesuffix(b"\r").decode("latin-1")))
        except BadPattern as error:
            problems.append(Problem(number, str(error)))
    return Rules(rules), problems


def rules_of(patterns: Iterable[str]) -> Rules:
    """The rules of patterns that somebody typed. BadPattern names the first one that can match nothing."""
    rules: list[Rule] = []
    for pattern in patterns:
        try:
            rules.extend(_rule(pattern.encode("utf-8", "surrogateescape").decode("latin-1")))
        except BadPattern as error:
            raise BadPattern(f"{pattern!r}: {error}") from error
    return Rules(rules)


def _rule(line: str) -> list[Rule]:
    """The rule of a line; none for a blank one or a comment."""
    if line.startswith("#"):
        return []
    pattern = _without_trailing_spaces(line)
    negated = pattern.startswith("!")
    pattern = pattern[negated:]
    directories_only = pattern.endswith("/")
    pattern = pattern[: len(pattern) - directories_only]
    if not pattern:
        return []
    anywhere = "/" not in pattern
    names = [_name(name) for name in pattern.removeprefix("/").split("/")]
    if anywhere:
        names = [name or _ANYTHING for name in names]
    elif names[-1] is None:
        names.append(_ANYTHING)  # `a/**` is what is in `a`, not `a`
    return [Rule(tuple(names), negated, directories_only, anywhere)]


def _without_trailing_spaces(line: str) -> str:
    """A space at the end counts only behind a backslash."""
    kept = line.rstrip(" ")
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return line[: len(kept) + 1] if backslashes % 2 else kept


def _match(names: Sequence[Name], path: Sequence[str]) -> bool:
    """Whether the names match the whole path. Goes back to the last `**` alone, which is enough: never exponential."""
    at = here = 0
    after_any, resume = 0, 0  # after_any: where to go on behind the last `**`; 0: there was none
    while here < len(path):
        name = names[at] if at < len(names) else _NOTHING
        if name is None:
            at += 1
            after_any, resume = at, here
        elif name.match(path[here]):
            at += 1
            here += 1
        elif after_any:
            resume += 1
            at, here = after_any, resume
        else:
            return False
    return all(name is None for name in names[at:])


def _name(pattern: str) -> Name:
    """One name of a pattern as an expression for a whole name; `**` is any number of names."""
    if len(pattern) > 1 and not pattern.strip("*"):
        return None
    parts = [""]
    position = 0
    while position < len(pattern):
        if pattern[position] == "*":
            parts.append("")
            position += 1
        else:
            expression, position = _character(pattern, position)
            parts[-1] += expression
    first, *middle = parts
    if not middle:
        return re.compile(rf"{first}\Z", re.DOTALL)
    # The first place where a part fits is good enough, so no way back is kept (`(?>`): linear, as in `fnmatch`.
    *middle, last = middle
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle if part) + rf".*{last}\Z", re.DOTALL)


def _character(pattern: str, position: int) -> tuple[str, int]:
    """What matches one character, and where the pattern goes on."""
    match pattern[position]:
        case "?":
            return ".", position + 1
        case "[":
            return _bracket(pattern, position + 1)
        case "\\":
            if position + 1 == len(pattern):
                raise BadPattern("ends with a backslash")
            return re.escape(pattern[position + 1]), position + 2
        case character:
            return re.escape(character), position + 1


def _bracket(pattern: str, position: int) -> tuple[str, int]:
    """A set of characters: `[a-z]`, `[!a]`, `[^a]`, `[]a]`, `[[:alpha:]]`."""
    negated = pattern[position : position + 1] in {"!", "^"}
    position += negated
    start = position
    items: list[str] = []
    while position == start or pattern[position : position + 1] != "]":
        item, position = _set_item(pattern, position)
        items.append(item)
    return f"[{'^' * negated}{''.join(items)}]", position + 1


def _set_item(pattern: str, position: int) -> tuple[str, int]:
    """A class, a range or a single character of a set."""
    if named := re.compile(r"\[:(\w*):\]").match(pattern, position):
        if named[1] not in _CLASSES:
            raise BadPattern(f"there is no character class [:{named[1]}:]")
        return _CLASSES[named[1]], named.end()
    low, position = _set_character(pattern, position)
    if pattern[position : position + 1] != "-" or pattern[position + 1 : position + 2] in {"", "]"}:
        return re.escape(low), position
    high, position = _set_character(pattern, position + 1)
    if low > high:
        return re.escape(low), position  # as git has it: the first character counts, the range is empty
    return f"{re.escape(low)}-{re.escape(high)}", position


def _set_character(pattern: str, position: int) -> tuple[str, int]:
    position += pattern[position : position + 1] == "\\"
    if position >= len(pattern):
        raise BadPattern("has a bracket that is not closed")
    return pattern[position], position + 1
