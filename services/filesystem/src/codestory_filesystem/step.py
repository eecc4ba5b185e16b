"""Mirrors the folders and files of a repository."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel, Field

from codestory.files.head import head
from codestory.files.repository import Entry, Kind, Walk
from codestory.graph import Label, Node
from codestory.steps import PipelineStep, StepContext, StepResult
from codestory_filesystem import held
from codestory_filesystem.rows import Rows, Tally


class Options(BaseModel):
    """What the filesystem step may be told."""

    ignore: list[str] = Field(
        default=[],
        description="More to leave out: patterns as in .gitignore, relative to the repository. "
        "A pattern that begins with ! takes back what would be left out.",
        examples=[["*.min.js", "/vendor/", "!node_modules/"]],
    )
    use_gitignore: bool = Field(
        default=True,
        description="Leave out what .gitignore and .git/info/exclude name. "
        ".codestoryignore and the list of directories that hold no source hold in any case.",
    )
    max_file_bytes: int | None = Field(
        default=None,
        gt=0,
        description="Skip larger files. Without it the service's own limit holds (CODESTORY_MAX_FILE_BYTES).",
    )


class FileSystemStep(PipelineStep[Options]):
    """Mirror the folders and files of a repository, linked to the symbols that each file defines."""

    name = "filesystem"
    owns = (Label.REPOSITORY, Label.DIRECTORY, Label.FILE)
    phases: ClassVar = {"listing": 5, "reading": 25, "writing": 70}

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        options, tally = ctx.options, Tally()
        walk = ctx.files.walk(
            ignore=options.ignore, use_gitignore=options.use_gitignore, max_file_bytes=options.max_file_bytes
        )
        entries = list(_listed(ctx, walk))
        rows = Rows(ctx.repository, entries, tally)
        nodes = rows.nodes(ctx.files, head(ctx.files), await held.hashes(ctx.graph), max_bytes=options.max_file_bytes)
        written = await ctx.graph.replace(
            _followed(ctx, nodes, entries),
            rows.relationships(await held.symbols(ctx.graph)),
            volatile={"ingested_at": datetime.now(UTC).isoformat()},
            progress=lambda done, total: ctx.progress(done, total, "rows", phase="writing"),
        )
        return _result(walk, tally, written)


def _listed(ctx: StepContext[Options], walk: Walk) -> Iterator[Entry]:
    """The entries, while telling how many there are so far."""
    for count, entry in enumerate(walk):
        if count % 1000 == 0:
            ctx.progress(count, None, "files", entry.path, phase="listing")
        yield entry
    for problem in walk.problems:
        ctx.log.warning(
            "filesystem.ignore_line_passed_over",
            extra={"path": problem.path, "line": problem.line, "reason": problem.reason},
        )


def _followed(ctx: StepContext[Options], nodes: Iterator[Node], entries: list[Entry]) -> Iterator[Node]:
    """The nodes, while telling which file is at hand. After the repository's comes one for each entry, which is read
    when its node is taken."""
    total = sum(entry.kind is not Kind.DIRECTORY for entry in entries)
    done = 0
    yield next(nodes)
    for entry in entries:
        if entry.kind is not Kind.DIRECTORY:
            ctx.progress(done, total, "files", entry.path, phase="reading")
            done += 1
        yield next(nodes)
    ctx.progress(done, total, "files", phase="reading")


def _result(walk: Walk, tally: Tally, written: dict[str, int]) -> StepResult:
    files = {status: tally.files[status] for status in ("parsed", "unchanged", "skipped", "failed")}
    total, directories = sum(files.values()), tally.nodes[Label.DIRECTORY]
    said = ", ".join(f"{count:,} {status}" for status, count in files.items() if count)
    summary = f"{total:,} files in {directories:,} directories" + (f": {said}" if said else "")
    if walk.problems:
        first = walk.problems[0]
        place = f"{first.path} line {first.line}" if first.line else first.path
        summary += f"; {len(walk.problems):,} ignore rules passed over, the first in {place}: {first.reason}"
    return StepResult(
        summary=summary,
        counts={
            "files": total,
            "directories": directories,
            **files,
            "ignored.files": walk.ignored_files,
            "ignored.directories": walk.ignored_directories,
            "ignore.problems": len(walk.problems),
            "bytes": tally.size,
            "lines": tally.lines,
        },
        skipped=tally.skipped,
        failed=tally.failed,
        nodes=dict(tally.nodes),
        relationships=dict(tally.relationships),
        written=written,
    )
