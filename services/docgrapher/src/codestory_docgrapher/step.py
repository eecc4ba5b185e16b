"""The step: finds the documents, parses each, links them all, and hands the rows to the graph."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from codestory import telemetry
from codestory.contracts.results import Gap
from codestory.files.repository import Entry, Kind, RepositoryFiles, Unreadable
from codestory.graph import Label, Node, Relationship
from codestory.redaction import redact
from codestory.steps import PipelineStep, StepContext, StepResult
from codestory_docgrapher import docstrings, formats
from codestory_docgrapher.document import Document
from codestory_docgrapher.link import Links, link
from codestory_docgrapher.modules import Code
from codestory_docgrapher.parse import Bounds, Unparsable, parse
from codestory_docgrapher.reading import read_code, read_hashes
from codestory_docgrapher.rows import Rows

#: Gap: the graph's File and Document are of different contents.
CHANGED = "differs from what the filesystem step read; ingest the repository again"


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
    docstrings: Annotated[
        bool, Field(description="Make a section of each docstring, linked to the symbols that it names.")
    ] = True
    max_document_bytes: Annotated[int, Field(ge=1, description="Bigger documents are skipped.")] = 2_000_000
    max_notebook_bytes: Annotated[
        int,
        Field(ge=1, description="Bigger notebooks are skipped; most of a notebook are outputs, which are not read."),
    ] = 10_000_000
    max_document_seconds: Annotated[
        float, Field(gt=0, description="Processor time for parsing one document; beyond it the document fails.")
    ] = 20.0
    max_section_chars: Annotated[int, Field(ge=0, description="Longer text of a section is cut.")] = 20_000


class _Redactor:
    """Takes the secrets out of texts and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, text: str) -> str:
        redacted = redact(text)
        self.count += sum(redacted.counts.values())
        telemetry.redacted(redacted.counts)
        return redacted.text


@dataclass
class _Reading:
    """What was found in the files."""

    files: list[str] = field(default_factory=list[str])
    documents: list[Document] = field(default_factory=list[Document])
    skipped: list[Gap] = field(default_factory=list[Gap])
    failed: list[Gap] = field(default_factory=list[Gap])
    redact: _Redactor = field(default_factory=_Redactor)


class DocumentationGrapherStep(PipelineStep[Options]):
    """Documents and their sections, linked to each other and to the files and symbols they describe."""

    name = "documentation_grapher"
    owns = (Label.DOCUMENT, Label.SECTION)
    phases: ClassVar = {"listing": 1, "parsing": 75, "linking": 9, "writing": 15}

    async def execute(self, ctx: StepContext[Options]) -> StepResult:
        options, reading = ctx.options, _read(ctx)
        code = await _code(ctx, reading)
        documented = list(docstrings.documented(code.symbols)) if options.docstrings else []
        if options.link_symbols:
            links = link(reading.documents, reading.files, code, documented)
        else:
            links = link(reading.documents, reading.files, Code(summaries=code.summaries))
        rows = Rows(ctx.repository.id, section_chars=options.max_section_chars)
        sections = list(rows.docstrings(documented))
        nodes = [*rows.nodes(reading.documents, links.broken), *(node for node, _ in sections)]
        relationships = [
            *rows.hierarchy(reading.documents),
            *rows.links(links.relations),
            *(relationship for _, relationship in sections),
        ]
        _compare(reading, await read_hashes(ctx.graph))
        written = await ctx.graph.replace(
            nodes,
            relationships,
            progress=lambda done, total: ctx.progress(done, total, "rows", phase="writing"),
        )
        return _result(reading, links, nodes, relationships, written)


async def _code(ctx: StepContext[Options], reading: _Reading) -> Code:
    options = ctx.options
    code = await read_code(
        ctx.graph,
        ctx.repository.id,
        reading.files,
        symbols=options.link_symbols or options.docstrings,
        docstrings=options.docstrings,
    )
    symbols = [replace(symbol, docstring=reading.redact(symbol.docstring)) for symbol in code.symbols]
    return replace(code, symbols=symbols)


def _compare(reading: _Reading, hashes: Mapping[str, str]) -> None:
    """A mounted tree may change between two steps. A file that filesystem has not read says nothing."""
    for document in reading.documents:
        if hashes.get(document.path, document.sha256) != document.sha256:
            reading.skipped.append(Gap(path=document.path[:1024], reason=CHANGED))


def _read(ctx: StepContext[Options]) -> _Reading:
    options, reading = ctx.options, _Reading()
    wanted: list[Entry] = []
    for entry in ctx.files.walk(ignore=options.ignore, use_gitignore=options.use_gitignore):
        if entry.kind is Kind.DIRECTORY:
            continue
        if len(reading.files) % 1000 == 0:
            ctx.progress(len(reading.files), None, "files", entry.path, phase="listing")
        reading.files.append(entry.path)
        if formats.selected(entry.path, options.include, options.exclude):
            wanted.append(entry)
    for done, entry in enumerate(wanted):
        ctx.progress(done, len(wanted), "documents", entry.path, phase="parsing")
        _read_one(ctx.files, entry, options, reading)
    ctx.progress(0, None, "documents", phase="linking")
    return reading


def _read_one(files: RepositoryFiles, entry: Entry, options: Options, reading: _Reading) -> None:
    reason, limit = entry.reason, _max_bytes(entry.path, options)
    if not reason and entry.size > limit:
        reason = f"larger than {limit} bytes"
    if reason:
        reading.skipped.append(Gap(path=entry.path[:1024], reason=reason))
        return
    try:
        document = _document(entry.path, files.read(entry, max_bytes=limit), options, reading.redact)
    except (Unreadable, Unparsable) as error:
        reading.failed.append(Gap(path=entry.path[:1024], reason=error.reason))
        return
    if document is not None:
        reading.documents.append(document)


def _max_bytes(path: str, options: Options) -> int:
    return options.max_notebook_bytes if formats.is_notebook(path) else options.max_document_bytes


def _document(path: str, data: bytes, options: Options, redact: _Redactor) -> Document | None:
    text, lossy = formats.text_of(data)
    if text is None and formats.is_notebook(path):
        raise Unparsable("not text")
    form = formats.format_of(path, text, wanted=options.include) if text is not None else None
    if text is None or form is None:
        return None
    bounds = Bounds(section_chars=options.max_section_chars, cpu_seconds=options.max_document_seconds)
    document = parse(path, text, form, bounds, redact=redact)
    return replace(document, lossy=lossy, sha256=hashlib.sha256(data).hexdigest())


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
    counts.update(f"documents.{document.format}" for document in reading.documents)
    counts["redacted"] = reading.redact.count
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
