"""The step: copies the sources, has Blarify find the definitions and engines the references, and writes the rows."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field, JsonValue

from codestory import cancelling
from codestory.files.repository import Entry
from codestory.graph import Label
from codestory.steps import PipelineStep, StepContext, StepError, StepResult, TemporaryStepError
from codestory_blarify import hierarchy, shadow
from codestory_blarify.engines.pyrefly import Pyrefly
from codestory_blarify.found import Found
from codestory_blarify.references import Engine, EngineFailed, EngineKilled
from codestory_blarify.result import result
from codestory_blarify.rows import Rows
from codestory_blarify.settings import BlarifySettings
from codestory_blarify.unchanged import Reading
from codestory_blarify.workplace import place_for, private_folder

#: What the programs write: Pyrefly's report has thousands of small files of the standard library, then about six times
#: the sources. On a disk that costs more time than all the rest.
_REPORTS = 64 * 1024**2
_REPORTS_TIMES = 8

#: Why an update computed the whole.
CHANGED = "sources have changed, or what reads them"


class Options(BaseModel):
    """What the blarify step may be told."""

    ignore: list[str] = Field(
        default=[],
        description="More to leave out: patterns as in .gitignore, relative to the repository. "
        "A pattern that begins with ! takes back what would be left out.",
        examples=[["/vendor/", "*_pb2.py"]],
    )
    use_gitignore: bool = Field(default=True, description="Leave out what .gitignore and .git/info/exclude name.")
    max_file_bytes: int = Field(default=800_000, gt=0, le=10_000_000, description="Skip larger files.")
    references: bool = Field(
        default=True, description="Find what symbols do to each other: calls, imports, inheritance and the like."
    )
    externals: bool = Field(default=False, description="Also make nodes of what is imported from elsewhere.")
    store_source: bool = Field(default=False, description="Store the text of each symbol on its node.")


class BlarifyStep(PipelineStep[Options]):
    """Classes, functions and methods, and what they do to each other."""

    name = "blarify"
    owns = (Label.CLASS, Label.FUNCTION, Label.METHOD, Label.EXTERNAL)
    phases: ClassVar = {"listing": 1, "copying": 3, "parsing": 22, "references": 26, "writing": 48}
    settings_classes = (BlarifySettings,)

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        """Blarify, Pyrefly and what they need, in an environment of their own."""
        return BlarifySettings().versions()

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        return await self._run(ctx)

    async def update(self, ctx: StepContext[Options]) -> StepResult:
        """Where no source has changed, nothing is computed. Else all is: what a reference means, other files decide
        (docs/decisions/0018-update-mode.md)."""
        return await self._run(ctx, updating=True)

    async def _run(self, ctx: StepContext[Options], *, updating: bool = False) -> StepResult:
        settings = BlarifySettings()
        if not settings.python.exists():
            raise StepError(
                f"Blarify's environment is not there: {settings.python}. Make it with .ci/environment runtime in the "
                "folder of Code Story, or name the Python that has Blarify: CODESTORY_BLARIFY_PYTHON."
            )
        entries = _entries(ctx)
        size = 2 * sum(entry.size for entry in entries if shadow.is_wanted(entry))  # Latin-1 grows as UTF-8
        with (
            private_folder(settings.blarify_copy_dir or place_for(size)) as tree,
            private_folder(settings.blarify_copy_dir or place_for(_REPORTS + _REPORTS_TIMES * size)) as work,
        ):
            copied = shadow.copy(
                ctx.files, entries, tree, max_bytes=ctx.options.max_file_bytes, progress=_said(ctx, "copying")
            )
            reading = Reading.of(copied, settings)
            known = reading.known(ctx.remembered) if updating else None
            if known:
                return _updated(known, f"no source has changed: {known.summary}", {"sources.changed": 0})
            found = await _find(ctx, settings, copied, work)
        written = await _written(ctx, found)
        return reading.remember(_updated(written, written.summary, {"whole": CHANGED}) if updating else written)


def _entries(ctx: StepContext[Options]) -> Sequence[Entry]:
    options = ctx.options
    walk = ctx.files.walk(
        ignore=options.ignore, use_gitignore=options.use_gitignore, max_file_bytes=options.max_file_bytes
    )
    entries: list[Entry] = []
    for entry in walk:
        if len(entries) % 1000 == 0:
            ctx.progress(len(entries), None, "files", entry.path, phase="listing")
        entries.append(entry)
    return entries


async def _find(ctx: StepContext[Options], settings: BlarifySettings, copied: shadow.Shadow, work: Path) -> Found:
    """All that is to be known of the sources. The engines' programs run while Blarify parses."""
    options, tree = ctx.options, copied.tree
    found = Found(copied)
    engines = [engine for engine in _engines(settings) if options.references and engine.languages & copied.languages]
    rooms = {engine.name: _folder(work, engine.name) for engine in engines}
    preparing = [asyncio.create_task(engine.prepare(tree, rooms[engine.name])) for engine in engines]
    try:
        found.hierarchy = await hierarchy.find(
            copied,
            _folder(work, "hierarchy"),
            settings,
            store_source=options.store_source,
            progress=_said(ctx, "parsing"),
        )
        for engine, prepared in zip(engines, preparing, strict=True):
            await _take(ctx, engine, prepared, rooms[engine.name], found)
    finally:
        await cancelling.end(*preparing)
    return found


def _engines(settings: BlarifySettings) -> list[Engine]:
    return [Pyrefly(settings.pyrefly, settings.limits)]


async def _take(
    ctx: StepContext[Options], engine: Engine, prepared: "asyncio.Task[None]", room: Path, found: Found
) -> None:
    """What one engine has found, or why it has found nothing."""
    try:
        if not prepared.done():
            ctx.progress(0, None, "files", f"{engine.name} reads them all", phase="references")
        await prepared
        definitions, said = found.hierarchy.definitions, _said(ctx, "references")
        references = await engine.references(found.shadow.tree, room, definitions, said)
    except EngineKilled as error:
        raise TemporaryStepError(str(error)) from error
    except EngineFailed as error:
        found.failed(engine, str(error))
    else:
        found.take(engine, references, externals=ctx.options.externals)


async def _written(ctx: StepContext[Options], found: Found) -> StepResult:
    rows = Rows(ctx.repository.id, found.shadow.files, found.hierarchy.definitions)
    for engine, references in found.references.items():
        rows.add(references, engine)
    written = await ctx.graph.replace(
        rows.nodes(found.modules),
        rows.relationships(),
        progress=lambda done, total: ctx.progress(done, total, "rows", phase="writing"),
    )
    return result(found, rows, written, asked=ctx.options.references)


def _updated(result: StepResult, summary: str, update: dict[str, JsonValue]) -> StepResult:
    return replace(result, summary=summary, details={"update": update, **result.details})


def _said(ctx: StepContext[Options], phase: str) -> Callable[[int, int, str], None]:
    return lambda done, total, path: ctx.progress(done, total, "files", path, phase=phase)


def _folder(work: Path, name: str) -> Path:
    folder = work / name
    folder.mkdir()
    return folder
