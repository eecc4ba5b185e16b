"""Has Blarify find the definitions in the copy, in a program of its own, and takes nothing that this says on trust.

A file on which the program dies is named as a gap, and the program goes on behind it."""

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from codestory.graph import Label
from codestory.steps import StepError, TemporaryStepError
from codestory_blarify import programs
from codestory_blarify.definitions import Definition
from codestory_blarify.programs import Ended
from codestory_blarify.settings import BlarifySettings
from codestory_blarify.shadow import Shadow

_WORKER = Path(__file__).with_name("worker") / "__main__.py"
#: More files than this on which the program dies are no accident.
MOST_DEATHS = 20
#: Reasons of gaps.
TOO_LONG = "Blarify took too long to parse it"
DIED = "Blarify's parser died on it"
FAILED = "Blarify could not take it in"
UNPARSABLE = "nothing in it could be parsed"
TOO_DEEP = "definitions nested too deeply were left out"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str


class _DefinitionLine(_Line):
    what: Literal["definition"]
    kind: Literal["class", "function"]
    name: Annotated[str, Field(min_length=1, max_length=500)]
    method: bool
    receiver: Annotated[str, Field(max_length=500)]
    parent: NonNegativeInt | None
    level: NonNegativeInt
    start_line: PositiveInt
    end_line: PositiveInt
    name_line: PositiveInt
    name_column: NonNegativeInt
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    signature: Annotated[str, Field(max_length=1_000)]
    docstring: Annotated[str, Field(max_length=20_000)]
    source: Annotated[str, Field(max_length=100_000)] | None = None


class _FileLine(_Line):
    what: Literal["file"]
    definitions: NonNegativeInt = 0
    #: Where the parser first lost its way.
    wrong_line: PositiveInt | None = None
    lost: bool = False
    too_deep: NonNegativeInt = 0
    error: Annotated[str, Field(max_length=100)] = ""


class _EndLine(BaseModel):
    what: Literal["end"]


_LINE: TypeAdapter[_DefinitionLine | _FileLine | _EndLine] = TypeAdapter(
    Annotated[_DefinitionLine | _FileLine | _EndLine, Field(discriminator="what")]
)


@dataclass
class Hierarchy:
    """The definitions, each file's together and in their order in it, by their paths in the copy."""

    definitions: list[Definition] = field(default_factory=list[Definition])
    #: Files that hold syntax errors and were read all the same: path in the copy, first line that is wrong.
    recovered: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])


async def find(
    shadow: Shadow,
    work: Path,
    settings: BlarifySettings,
    *,
    store_source: bool,
    progress: Callable[[int, int, str], None],
) -> Hierarchy:
    """The definitions of all files of the copy. Gaps are noted with the copy. `work`: an empty folder."""
    hierarchy = Hierarchy()
    left = list(shadow.files)
    for _ in range(MOST_DEATHS + 1):
        if left:
            reading = _Reading(shadow, hierarchy, left, progress)
            ended = await _run(left, shadow.tree, work, settings, reading.line, store_source=store_source)
            left = left[reading.done :]
            if not reading.ended:
                shadow.gap(shadow.files[left[0]].path, _cause(ended, settings), failed=True)
                left = left[1:]
        if not left:
            return hierarchy
    raise StepError(f"Blarify's parser died on more than {MOST_DEATHS} files of this repository.")


async def _run(
    paths: Sequence[str],
    tree: Path,
    work: Path,
    settings: BlarifySettings,
    on_line: Callable[[bytes], None],
    *,
    store_source: bool,
) -> Ended:
    listed = work / "paths"
    listed.write_text("\n".join(paths), encoding="utf-8")
    return await programs.run(
        [
            *(str(settings.python), "-I", "-X", "utf8", str(_WORKER)),
            *(str(tree), str(listed), str(settings.blarify_file_seconds), str(int(store_source))),
        ],
        cwd=work,
        env={},
        limits=settings.limits,
        on_line=on_line,
    )


def _cause(ended: Ended, settings: BlarifySettings) -> str:
    """Why the file at hand ended the program. Raises if it was not the file."""
    if ended.killed or ended.returncode == -signal.SIGTERM:
        raise TemporaryStepError(f"Blarify's program {ended.how}; there may be too little memory")
    if ended.stopped:
        raise StepError(f"Blarify's program {ended.stopped}: CODESTORY_BLARIFY_PROGRAM_SECONDS bounds it")
    if ended.returncode >= 0:
        raise StepError(f"Blarify's program ({settings.python}) {ended.how}")
    return TOO_LONG if ended.returncode == -signal.SIGVTALRM else DIED


class _Reading:
    """Of what one run of the program says."""

    def __init__(
        self, shadow: Shadow, hierarchy: Hierarchy, paths: Sequence[str], progress: Callable[[int, int, str], None]
    ) -> None:
        self.done = 0
        self.ended = False
        self._shadow, self._hierarchy, self._paths, self._progress = shadow, hierarchy, paths, progress
        self._lines: list[_DefinitionLine] = []  # of the file at hand
        self._say()

    def line(self, text: bytes) -> None:
        try:
            line = _LINE.validate_json(text)
        except ValidationError as error:
            raise StepError(f"Blarify's program said what it cannot mean: {_short(error)}") from error
        match line:
            case _EndLine():
                self.ended = self.done == len(self._paths)
            case _ if self.done >= len(self._paths) or line.path != self._paths[self.done]:
                raise StepError(f"Blarify's program spoke of {line.path[:200]!r} out of turn")
            case _DefinitionLine():
                self._lines.append(line)
            case _FileLine():
                self._file(line)

    def _say(self) -> None:
        """The file that the program is at now."""
        total, left = len(self._shadow.files), len(self._paths) - self.done
        self._progress(total - left, total, self._shadow.files[self._paths[self.done]].path if left else "")

    def _file(self, line: _FileLine) -> None:
        lines, self._lines = self._lines, []
        path = self._shadow.files[line.path].path
        self.done += 1
        self._say()
        if line.error:
            self._shadow.gap(path, f"{FAILED} ({line.error})", failed=True)
            return
        if line.definitions != len(lines):
            raise StepError(f"Blarify's program said {len(lines)} of {line.definitions} definitions of {path}")
        self._hierarchy.definitions += _definitions(lines, line.path, self._shadow, len(self._hierarchy.definitions))
        if line.lost:
            self._shadow.gap(path, UNPARSABLE, failed=True)
        elif line.wrong_line:
            self._hierarchy.recovered.append((line.path, line.wrong_line))
        if line.too_deep:
            self._shadow.gap(path, TOO_DEEP, failed=True)


def _definitions(lines: Sequence[_DefinitionLine], path: str, shadow: Shadow, first: int) -> list[Definition]:
    """Those of one file. `first`: position of the first of them among all."""
    source = shadow.files[path]
    # Blarify counts the folders of the copy.
    deeper = source.path.count("/") - path.count("/")
    places = _Places(lines)
    equals: Counter[tuple[str, str]] = Counter()
    found: list[Definition] = []
    for line in lines:
        parent = places.parent(line, len(found))
        label = Label.CLASS if line.kind == "class" else Label.METHOD if line.method else Label.FUNCTION
        scope = line.receiver or ("" if parent is None else found[parent].qualified_name)
        qualified = f"{scope}.{line.name}" if scope else line.name
        ordinal = equals[label, qualified]
        equals[label, qualified] += 1
        found.append(
            Definition(
                label=str(label),
                kind=line.kind,
                path=path,
                name=line.name,
                qualified_name=qualified,
                ordinal=ordinal,
                start_line=line.start_line,
                end_line=max(line.start_line, line.end_line),
                name_line=line.name_line,
                name_column=line.name_column,
                language=source.language,
                level=max(0, line.level + deeper),
                sha256=line.sha256,
                signature=line.signature,
                docstring=line.docstring,
                parent=None if parent is None else first + parent,
                source=line.source,
            )
        )
    return found


class _Places:
    """Where the definitions of a file stand."""

    def __init__(self, lines: Sequence[_DefinitionLine]) -> None:
        #: Go: a method stands beside its type, before or after it, or in another file.
        self._types = {one.name: place for place, one in enumerate(lines) if one.kind == "class" and one.parent is None}

    def parent(self, line: _DefinitionLine, place: int) -> int | None:
        if line.parent is None:
            return self._types.get(line.receiver) if line.receiver else None
        if line.parent >= place:
            raise StepError(f"Blarify's program put {line.name!r} of {line.path} into what comes after it")
        return line.parent


def _short(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:300]
