"""The step: finds the documents, parses each, links them all, and hands the rows to the graph."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, Field

from codestory.contracts.results import Gap
from codestory.graph import Label, Node, Relationship
from codestory.steps import PipelineStep, StepContext, StepResult
from codestory.steps.files import Entry, Kind, RepositoryFiles, Unreadable
from codestory_docgrapher import formats
from codestory_docgrapher.document import Document
from codestory_docgrapher.link import Links, link
from codestory_docgrapher.parse import Bounds, Unparsable, parse
from codestory_docgrapher.places import Symbol
from codestory_docgrapher.rows import Rows
from codestory_docgrapher.symbols import read_symbols


class Options(BaseModel):
    """What a user may set for documentation_grapher."""

    include: Annotated[
        list[str],
        Field(description="Text files to take as documentation besides those taken by name: shell patterns of paths."),
    ] = []
    exclude: Annotated[list[str], Field(description="Files never taken: shell patterns of paths.")] = []
    ignore: Annotated[
        list[str], Field(description="What the repository is read without: patterns as in .gitignore.")
    ] = []
    use_gitignore: Annotated[bool, Field(description="Leave out what .gitignore leaves out.")] = True
    link_symbols: Annotated[
        bool, Field(description="Link sections to the classes, functions and methods they name.")
    ] = True
    docstrings: Annotated[bool, Field(description="Make a section of each docstring.")] = True
    max_document_bytes: Annotated[int, Field(ge=1, description="Bigger documents are skipped.")] = 2_000_000
    max_document_seconds: Annotated[
        float, Field(gt=0, description="Processor time for parsing one document; beyond it the document fails.")
    ] = 20.0
    max_section_chars: Annotated[int, Field(ge=0, description="Longer text of a section is cut.")] = 20_000


@dataclass
class _Reading:
    """What was found in the files."""

    files: list[str] = field(default_factory=list[str])
    documents: list[Document] = field(default_factory=list[Document])
    skipped: list[Gap] = field(default_factory=list[Gap])
    failed: list[Gap] = field(default_factory=list[Gap])


class DocumentationGrapherStep(PipelineStep[Options]):
    """Documents and their sections, linked to each other and to the files and symbols they describe."""

    name = "documentation_grapher"
    owns = (Label.DOCUMENT, Label.SECTION)

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        reading = _read(ctx)
        options = ctx.options
        symbols: list[Symbol] = []
        if options.link_symbols or options.docstrings:
            symbols = await read_symbols(ctx.graph, docstrings=options.docstrings)
        links = link(reading.documents, reading.files, symbols if options.link_symbols else ())
        rows = Rows(ctx.repository.id, section_chars=options.max_section_chars)
        docstrings = list(rows.docstrings(symbols))
        nodes = [*rows.nodes(reading.documents, links.broken), *(node for node, _ in docstrings)]
        relationships = [
            *rows.hierarchy(reading.documents),
            *rows.links(links.relations),
            *(relationship for _, relationship in docstrings),
        ]
        written = await ctx.graph.replace(nodes, relationships)
        return _result(reading, links, nodes, relationships, written)


def _read(ctx: StepContext[Options]) -> _Reading:
    options, reading = ctx.options, _Reading()
    wanted: list[Entry] = []
    for entry in ctx.files.walk(ignore=options.ignore, use_gitignore=options.use_gitignore):
        if entry.kind is Kind.DIRECTORY:
            continue
        reading.files.append(entry.path)
        if formats.selected(entry.path, options.include, options.exclude):
            wanted.append(entry)
    for done, entry in enumerate(wanted):
        ctx.progress(done, len(wanted), "documents", entry.path)
        _read_one(ctx.files, entry, options, reading)
    ctx.progress(len(wanted), len(wanted), "documents")
    return reading


def _read_one(files: RepositoryFiles, entry: Entry, options: Options, reading: _Reading) -> None:
    reason = entry.reason
    if not reason and entry.size > options.max_document_bytes:
        reason = f"larger than {options.max_document_bytes} bytes"
    if reason:
        reading.skipped.append(Gap(path=entry.path[:1024], reason=reason))
        return
    try:
        document = _document(entry.path, files.read(entry, max_bytes=options.max_document_bytes), options)
    except (Unreadable, Unparsable) as error:
        reading.failed.append(Gap(path=entry.path[:1024], reason=error.reason))
        return
    if document is not None:
        reading.documents.append(document)


def _document(path: str, data: bytes, options: Options) -> Document | None:
    text, lossy = formats.text_of(data)
    form = formats.format_of(path, text, wanted=options.include) if text is not None else None
    if text is None or form is None:
        return None
    bounds = Bounds(section_chars=options.max_section_chars, cpu_seconds=options.max_document_seconds)
    return parse(path, text, form, bounds, lossy=lossy)


def _result(
    reading: _Reading,
    links: Links,
    nodes: list[Node],
    relationships: list[Relationship],
    written: dict[str, int],
) -> StepResult:
    documents = len(reading.documents)
    counts = Counter(links.counts)
    counts["documents"] = documents
    counts["documents.lossy"] = sum(document.lossy for document in reading.documents)
    counts["sections"] = sum(len(document.sections) for document in reading.documents)
    counts["docstrings"] = sum(node.properties.get("kind") == "docstring" for node in nodes)
    return StepResult(
        summary=f"{documents} documents, {counts['sections']} sections, {counts['links']} links, "
        f"{counts['describes']} descriptions of files and symbols",
        counts={name: counts[name] for name in sorted(counts)},
        skipped=reading.skipped,
        failed=reading.failed,
        nodes=_count(node.label for node in nodes),
        relationships=_count(relationship.type for relationship in relationships),
        written=written,
    )


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, names)).items()))
