"""Reads `pipeline_config.yml`: a `PipelineConfig`, or every mistake in it with its line."""

import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import yaml
from pydantic import BaseModel, JsonValue, ValidationError

from codestory.contracts.plans import ConfiguredStep, PipelineConfig, Retry
from codestory.pipeline_rules import Location, broken, suggestion

#: A hundred steps with long options take half of this. It bounds the time that a hostile text can take.
MAX_CHARACTERS: Final = 64 * 1024
#: Deeper than any option may be; the reader of YAML calls itself once for each level.
MAX_DEPTH: Final = 40
#: Values, before and after aliases are followed: the text cannot multiply itself.
MAX_VALUES: Final = 5_000
#: More mistakes than these help nobody.
MAX_MISTAKES: Final = 20
#: Of a word that is wrong.
MAX_SHOWN: Final = 60

_TAG: Final = "tag:yaml.org,2002:"
#: Read as YAML says; every other plain value is text, dates too, because options travel as JSON.
_TYPED: Final = frozenset({f"{_TAG}int", f"{_TAG}float", f"{_TAG}bool", f"{_TAG}null"})
_TEXT: Final = frozenset({f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value", f"{_TAG}merge"})

#: Keys that hold tags, whose names are wider than those of steps.
_TAGS: Final = frozenset({"resources", "resource_limits"})

_WORDS: Final = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping (key: value)",
    "enum": "must be success or always",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "missing": "is missing",
    "model_attributes_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "string_pattern_mismatch": "must be a name: lower-case letters, digits and _, a letter first",
    "string_type": "must be text: put it in quotes",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}


@dataclass(frozen=True)
class Mistake:
    """What is wrong, and on which line; line 0 is the file as a whole."""

    line: int
    reason: str


class PipelineFileError(Exception):
    """The pipeline file cannot be used as it is."""

    def __init__(self, source: str, mistakes: Iterable[Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line))[:MAX_MISTAKES]
        super().__init__("\n".join(_placed(source, mistake) for mistake in self.mistakes))

    @property
    def line(self) -> int:
        return self.mistakes[0].line

    @property
    def reason(self) -> str:
        return self.mistakes[0].reason


def load(path: Path) -> PipelineConfig:
    """The pipeline that the file states. Raises PipelineFileError: `FILE:LINE: reason`, a line for each mistake."""
    source = str(path)
    content = _content(path, source)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PipelineFileError(source, [Mistake(line, "the text is not UTF-8")]) from error
    return parse(text, source)


def parse(text: str, source: str = "pipeline_config.yml") -> PipelineConfig:
    """The pipeline that the text states. `source` names it in messages. Raises PipelineFileError."""
    if len(text) > MAX_CHARACTERS:
        raise PipelineFileError(source, [Mistake(1, f"larger than {MAX_CHARACTERS} characters")])
    try:
        document = _Document.read(text)
    except _Unreadable as error:
        raise PipelineFileError(source, [error.mistake]) from error
    config = None if document.mistakes else _config(document)
    if config is None:
        raise PipelineFileError(source, document.mistakes)
    return config


def _placed(source: str, mistake: Mistake) -> str:
    place = f"{source}:{mistake.line}" if mistake.line else source
    return f"{place}: {mistake.reason}"


def _content(path: Path, source: str) -> bytes:
    try:
        # Non-blocking, so that a FIFO in its place is refused and not waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PipelineFileError(source, [Mistake(0, "is not a file")])
            # A character takes up to four bytes; parse counts them.
            return file.read(4 * MAX_CHARACTERS + 4)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PipelineFileError(source, [Mistake(0, f"cannot be read: {reason}")]) from error


class _Unreadable(Exception):
    """The text is no YAML that we read."""

    def __init__(self, line: int, reason: str) -> None:
        self.mistake = Mistake(line, reason)
        super().__init__(reason)


class _Loader(yaml.SafeLoader):
    """PyYAML's own, that stops before a deep text exhausts the stack, or a long one our patience."""

    depth = 0
    values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.values += 1
        if self.values > 2 * MAX_VALUES:  # Keys are nodes too.
            raise _Unreadable(self.line + 1, f"more than {MAX_VALUES} values")
        if self.depth >= MAX_DEPTH:
            raise _Unreadable(self.line + 1, f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _composed(text: str) -> yaml.Node | None:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise _Unreadable(mark.line + 1 if mark else 1, reason or "is not YAML") from error
    except yaml.reader.ReaderError as error:
        raise _Unreadable(text.count("\n", 0, error.position) + 1, "holds a character that YAML forbids") from error
    except (ValueError, OverflowError) as error:
        # PyYAML lets an escape such as "\U99999999" and a huge version number through to Python.
        raise _Unreadable(loader.line + 1 if loader else 1, "holds an escape or a number out of range") from error
    finally:
        if loader is not None:
            loader.dispose()


@dataclass
class _Document:
    """The plain value of a YAML text, and the line of each part of it."""

    value: JsonValue = None
    lines: dict[Location, int] = field(default_factory=dict[Location, int])
    mistakes: list[Mistake] = field(default_factory=list[Mistake])
    _values: int = 0

    @classmethod
    def read(cls, text: str) -> "_Document":
        root = _composed(text)
        if root is None:
            raise _Unreadable(1, "is empty: list at least one step under 'steps:'")
        document = cls()
        document.value = document._plain(root, ())
        return document

    def line(self, location: Location) -> int:
        """The line of the part at `location`, else of the nearest part around it."""
        around = (location[:end] for end in range(len(location), -1, -1))
        return next((self.lines[part] for part in around if part in self.lines), 1)

    def holds_items(self, location: Location) -> bool:
        return (*location, 0) in self.lines

    def wrong(self, location: Location, reason: str) -> None:
        self.mistakes.append(Mistake(self.line(location), reason))

    def _plain(self, node: yaml.Node, location: Location) -> JsonValue:
        self.lines.setdefault(location, _line(node))
        self._values += 1
        if self._values > MAX_VALUES:
            raise _Unreadable(_line(node), f"more than {MAX_VALUES} values")
        if len(location) > MAX_DEPTH:
            raise _Unreadable(_line(node), "an alias refers to what holds it, or the text is nested too deep")
        match node:
            case yaml.MappingNode() if node.tag == f"{_TAG}map":
                return self._mapping(node, location)
            case yaml.SequenceNode() if node.tag == f"{_TAG}seq":
                return [self._plain(item, (*location, index)) for index, item in enumerate(node.value)]
            case yaml.ScalarNode() if node.tag in _TYPED:
                return self._typed(node, location)
            case yaml.ScalarNode() if node.tag in _TEXT:
                if not _valid_unicode(node):
                    self.wrong(location, "the text is not valid Unicode")
                return node.value
            case _:
                self.wrong(location, f"the tag {node.tag[:MAX_SHOWN]!r} is not known here")
                return None

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, JsonValue]:
        values: dict[str, JsonValue] = {}
        for key, value in node.value:
            if not (isinstance(key, yaml.ScalarNode) and key.tag in _TEXT and _valid_unicode(key)):
                self.mistakes.append(Mistake(_line(key), "a key is not plain text: put it in quotes"))
                continue
            inside = (*location, key.value)
            if key.value in values:
                reason = f"the key {key.value[:MAX_SHOWN]!r} is stated twice (first on line {self.lines[inside]})"
                self.mistakes.append(Mistake(_line(key), reason))
                continue
            self.lines[inside] = _line(key)
            values[key.value] = self._plain(value, inside)
        return values

    def _typed(self, node: yaml.ScalarNode, location: Location) -> int | float | bool | None:
        try:
            value = cast("float | bool | None", yaml.constructor.SafeConstructor().construct_object(node))
        except (ValueError, LookupError, yaml.YAMLError):
            # PyYAML does not check what a tag claims (`!!bool maybe`), nor numbers such as `0b_`.
            self.wrong(location, f"{node.value[:MAX_SHOWN]!r} is no value of its type: put it in quotes if it is text")
            return None
        if value is not None and not abs(value) < 2**63:
            self.wrong(location, "a number must be finite and fit 64 bits")
            return None
        return value


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _valid_unicode(node: yaml.ScalarNode) -> bool:
    """Not so when an escape names half a character, which JSON and the bus cannot carry."""
    return not any("\ud800" <= letter <= "\udfff" for letter in node.value)


def _config(document: _Document) -> PipelineConfig | None:
    """The document as a pipeline; None when it has mistakes, which are then noted in it."""
    _note_unknown_keys(document)
    try:
        # As JSON and strictly, so that no text passes for a number and no number for a flag.
        config = PipelineConfig.model_validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            _note_problem(document, problem["type"], problem["loc"], problem["msg"])
        return None
    for rule in broken(config):
        document.wrong(rule.location, rule.reason)
    return None if document.mistakes else config


def _note_unknown_keys(document: _Document) -> None:
    top = document.value
    _note_unknown(document, (), top, PipelineConfig)
    if not isinstance(top, dict):
        return
    _note_unknown(document, ("retry",), top.get("retry"), Retry)
    steps = top.get("steps")
    for position, step in enumerate(steps if isinstance(steps, list) else ()):
        _note_unknown(document, ("steps", position), step, ConfiguredStep)
        if isinstance(step, dict):
            _note_unknown(document, ("steps", position, "retry"), step.get("retry"), Retry)


def _note_unknown(document: _Document, location: Location, value: JsonValue, model: type[BaseModel]) -> None:
    for key in value if isinstance(value, dict) else ():
        if key not in model.model_fields:
            document.wrong((*location, key), f"unknown key {key[:MAX_SHOWN]!r} ({suggestion(key, model.model_fields)})")


def _note_problem(document: _Document, kind: str, location: Location, message: str) -> None:
    """A model's complaint, in the words of the file."""
    if kind == "extra_forbidden" or (kind == "too_short" and document.holds_items(location)):
        return  # Noted as an unknown key; and a list whose items are wrong counts as empty.
    location = tuple(part for part in location if part != "[key]")
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    reason = _WORDS.get(kind, message.removeprefix("Value error, "))
    if kind == "string_pattern_mismatch" and _TAGS & set(location):
        reason = "must be a tag: lower-case letters, digits, - and _, a letter first"
    document.wrong(location, f"{place}: {reason}" if place else reason)
