"""Counts the lines of each language, from the files that the filesystem step found."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, Field

from codestory.graph import Label, Node, Relationship, node_id
from codestory.steps import PipelineStep, StepContext, StepError, StepResult

METRIC = "Metric"
MEASURES = "MEASURES"

#: `repo` is bound to the repository by the graph. A file that somebody names and nobody has written is `_missing`.
FILES = """
MATCH (f:File {repo: $repo})
WHERE f._missing IS NULL AND f.language IS NOT NULL AND f.lines IS NOT NULL
RETURN f.id AS id, f.language AS language, f.lines AS lines ORDER BY id
"""


class Options(BaseModel):
    """What the step may be told, in pipeline_config.yml or with the job."""

    languages: list[str] = Field(default=[], description="Count only these. Without it: every language there is.")


@dataclass(frozen=True)
class CountedFile:
    id: str
    language: str
    lines: int


class LineCounterStep(PipelineStep[Options]):
    """Count the lines of each language."""

    name = "line_counter"
    owns = (METRIC,)

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        files = [CountedFile(**row) for row in await ctx.graph.read(FILES)]
        if not files:
            raise StepError("the graph holds no files with lines: put filesystem before line_counter")
        by_language = languages(files, ctx.options.languages)
        written = await ctx.graph.replace(
            metrics(ctx.repository.id, by_language), measures(ctx.repository.id, by_language)
        )
        counted = sum(map(len, by_language.values()))
        return StepResult(
            f"{len(by_language)} languages in {counted} files",
            counts={"files": counted, "languages": len(by_language)},
            nodes={METRIC: len(by_language)},
            relationships={MEASURES: counted},
            written=written,
        )


def languages(files: list[CountedFile], only: list[str]) -> dict[str, list[CountedFile]]:
    found: defaultdict[str, list[CountedFile]] = defaultdict(list)
    for file in files:
        if not only or file.language in only:
            found[file.language].append(file)
    return dict(sorted(found.items()))


def metrics(repository: str, by_language: dict[str, list[CountedFile]]) -> Iterator[Node]:
    for language, files in by_language.items():
        properties = {"name": language, "lines": sum(file.lines for file in files), "files": len(files)}
        yield Node(METRIC, node_id(repository, METRIC, language), properties)


def measures(repository: str, by_language: dict[str, list[CountedFile]]) -> Iterator[Relationship]:
    for language, files in by_language.items():
        for file in files:
            yield Relationship(MEASURES, METRIC, node_id(repository, METRIC, language), Label.FILE, file.id)
