"""The references of Python, by Pyrefly: its type-resolved report, and by names what the report has not."""

import asyncio
import gc
import json
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from codestory_blarify import programs
from codestory_blarify.definitions import Definition
from codestory_blarify.engines.collected import SYNTAX, Collected
from codestory_blarify.engines.named import NamedReferences
from codestory_blarify.engines.names import Names
from codestory_blarify.engines.places import Places
from codestory_blarify.engines.reading import read
from codestory_blarify.engines.report import Report
from codestory_blarify.engines.roots import Roots, imported_names
from codestory_blarify.engines.syntax import FileSyntax
from codestory_blarify.engines.typed import File, TypedReferences
from codestory_blarify.programs import Limits
from codestory_blarify.references import EngineFailed, EngineKilled, References

#: Parts of the report that nobody reads, about half of it.
_UNUSED = ("third_party", "typeshed", "typeshed_third_party", "type_of_expressions")


class Pyrefly:
    """An Engine. `program`: Pyrefly's own, of the version that this reads the report of."""

    name = "pyrefly"
    languages = frozenset({"Python"})

    def __init__(self, program: Path, limits: Limits) -> None:
        self._program = program
        self._limits = limits

    async def prepare(self, tree: Path, work: Path) -> None:
        paths = python_files(tree)
        if not paths:
            return
        report = work / "report"
        report.mkdir()
        settings = work / "pyrefly.toml"
        settings.write_text(_settings(tree, _roots(tree, paths)), encoding="utf-8")
        ended = await programs.run(
            [
                *(str(self._program), "check", "-c", str(settings)),
                *("--report-pysa", str(report), "--report-pysa-format", "json"),
                *("--output-format", "omit-errors", "--summary=none"),
            ],
            cwd=work,
            env={},
            limits=self._limits,
        )
        if ended.killed:
            raise EngineKilled(f"Pyrefly {ended.how}")
        if not ended.well:
            raise EngineFailed(f"Pyrefly {ended.how}")
        if not (report / "pyrefly.pysa.json").exists():  # written last: without it the report is half of one
            raise EngineFailed("Pyrefly wrote no report")
        for part in _UNUSED:
            shutil.rmtree(report / part, ignore_errors=True)

    async def references(
        self,
        tree: Path,
        work: Path,
        definitions: Sequence[Definition],
        progress: Callable[[int, int, str], None],
    ) -> References:
        paths = python_files(tree)
        if not paths:
            return References()
        with _without_collections():
            return await _Reading(tree, paths, definitions, progress).references(work / "report")


class _Reading:
    """Of a whole repository: every file's syntax, then the report, file by file."""

    def __init__(
        self,
        tree: Path,
        paths: Sequence[str],
        definitions: Sequence[Definition],
        progress: Callable[[int, int, str], None],
    ) -> None:
        self._tree = tree
        self._paths = paths
        self._definitions = definitions
        self._progress = progress
        self._roots = _roots(tree, paths)
        self._places = Places(definitions)
        self._files: dict[str, FileSyntax] = {}
        self._problems: list[tuple[str, str]] = []
        self._collected = Collected()

    async def references(self, folder: Path) -> References:
        report = Report(folder, self._tree, self._places)
        await self._read_files()
        bases = report.bases()
        names = Names(self._roots, self._files, lambda index: bases.get(index, ()))
        named = NamedReferences(names, self._definitions, self._collected)
        self._inherit(bases, named)
        for method, base in report.overridden():
            self._collected.add("OVERRIDES", method, base, self._definitions[method].name_line)
        await self._read_calls(TypedReferences(report, names, self._definitions, self._collected), report, named)
        return References(
            self._collected.references(),
            self._problems,
            {path: self._roots.module(path) for path in self._paths},
            {"files": len(self._paths), "files read in part": sum(bool(file.problem) for file in self._files.values())},
        )

    async def _read_files(self) -> None:
        for count, path in enumerate(self._paths):
            await self._say(count, path)
            syntax = self._files[path] = read(path, self._text(path), self._places)
            if syntax.problem:
                self._problems.append((path, f"read in part, for Python's parser does not take it: {syntax.problem}"))

    def _inherit(self, bases: dict[int, list[int]], named: NamedReferences) -> None:
        """Where the types do not tell a base class, its name may."""
        lines: dict[tuple[int, int], int] = {}
        for file in self._files.values():
            for index, base, line in named.bases(file):
                lines.setdefault((index, base), line)
        for index, found in bases.items():
            for base in found:
                line = lines.pop((index, base), self._definitions[index].name_line)
                self._collected.add("INHERITS_FROM", index, base, line)
        for (index, base), line in lines.items():
            self._collected.add("INHERITS_FROM", index, base, line, by=SYNTAX)
            bases.setdefault(index, []).append(base)

    async def _read_calls(self, typed: TypedReferences, report: Report, named: NamedReferences) -> None:
        answered: dict[str, set[str]] = {}
        for count, (module, path, graphs) in enumerate(report.call_graphs()):
            await self._say(len(self._paths) + count, path)
            file = File(module, path, self._text(path).splitlines(), self._files[path])
            answered.setdefault(path, set()).update(typed.read(file, graphs))
        for path, syntax in self._files.items():
            named.imports(syntax)
            named.mentions(syntax, answered.get(path, set()))
            await asyncio.sleep(0)
        self._problems.extend((path, "not read by Pyrefly") for path in self._paths if path not in answered)

    async def _say(self, done: int, path: str) -> None:
        """Each file is gone through twice."""
        self._progress(done // 2, len(self._paths), path)
        await asyncio.sleep(0)

    def _text(self, path: str) -> bytes:
        return (self._tree / path).read_bytes()


@contextmanager
def _without_collections() -> Generator[None]:
    """Syntax trees make very many objects, and no circles: looking for those takes half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def python_files(tree: Path) -> list[str]:
    found = [
        Path(folder, name).relative_to(tree).as_posix()
        for folder, _, names in os.walk(tree)
        for name in names
        if name.endswith((".py", ".pyi"))
    ]
    return sorted(found)


def _roots(tree: Path, paths: Sequence[str]) -> Roots:
    return Roots(paths, {path: imported_names((tree / path).read_bytes()) for path in paths})


def _settings(tree: Path, roots: Roots) -> str:
    """Pyrefly's configuration: everything said, so that neither the repository's own nor the machine has a say. A
    repository's may name a program to be run."""
    top = os.path.realpath(tree)
    search_path = [os.path.join(top, folder) if folder else top for folder in roots.folders]  # noqa: PTH118 -- text for a file
    settings = {
        "project-includes": [f"{top}/**/*.py", f"{top}/**/*.pyi"],
        "project-excludes": [],
        "disable-project-excludes-heuristics": True,
        "search-path": search_path,
        "disable-search-path-heuristics": True,
        "enable-fallback-search-path": True,
        "skip-interpreter-query": True,
        "python-version": "3.13",
        "python-platform": "linux",
        "site-package-path": [],
        "use-ignore-files": False,
        "preset": "off",
    }
    # JSON's texts, lists and booleans are TOML's too.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items())
