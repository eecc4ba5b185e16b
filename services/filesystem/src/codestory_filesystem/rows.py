"""The entries of a repository as nodes and relationships, and what became of each of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from codestory.contracts.jobs import Repository
from codestory.contracts.results import Gap
from codestory.files import paths
from codestory.files.head import Head
from codestory.files.repository import Entry, Kind, RepositoryFiles, Unreadable
from codestory.graph import Label, Node, Relationship, RelationshipType, node_id
from codestory_filesystem.content import Content, content_type, measure
from codestory_filesystem.held import Symbol
from codestory_filesystem.languages import extension_of

#: As much of a path as a gap may name. Its end says more than its beginning.
_GAP_PATH = 1024


@dataclass
class Tally:
    """What became of the entries. Every file is in exactly one of parsed, unchanged, skipped, failed."""

    files: Counter[str] = field(default_factory=Counter[str])
    nodes: Counter[str] = field(default_factory=Counter[str])
    relationships: Counter[str] = field(default_factory=Counter[str])
    skipped: list[Gap] = field(default_factory=list[Gap])
    failed: list[Gap] = field(default_factory=list[Gap])
    size: int = 0
    lines: int = 0

    def gap(self, path: str, reason: str, *, failed: bool) -> str:
        """Note what was not taken in. Returns its status."""
        name = path if len(path) <= _GAP_PATH else f"…{path[1 - _GAP_PATH :]}"
        (self.failed if failed else self.skipped).append(Gap(path=name, reason=reason))
        return "failed" if failed else "skipped"

    def took(self, content: Content, *, unchanged: bool) -> None:
        self.files["unchanged" if unchanged else "parsed"] += 1
        self.size += content.size
        self.lines += content.lines or 0


class Rows:
    """The nodes and relationships of one repository. Files are read while their nodes are taken."""

    def __init__(self, repository: Repository, entries: list[Entry], tally: Tally) -> None:
        self._repository = repository
        self._entries = entries
        self._tally = tally

    def nodes(
        self, files: RepositoryFiles, head: Head, held: Mapping[str, bytes], *, max_bytes: int | None
    ) -> Iterator[Node]:
        """`held`: the sha256 of what was parsed in the last run, by id."""
        yield self._counted(Label.REPOSITORY, self._repository.id, self._root(head))
        for entry in self._entries:
            if entry.kind is Kind.DIRECTORY:
                yield self._directory(entry)
            else:
                yield self._file(entry, files, held, max_bytes)

    def relationships(self, symbols: Iterable[Symbol]) -> Iterator[Relationship]:
        for entry in self._entries:
            yield self._joined(RelationshipType.CONTAINS, *self._place(paths.parent(entry.path)), *self._end(entry))
        files = {entry.path for entry in self._entries if entry.kind is Kind.FILE}
        for symbol in symbols:
            if symbol.path in files:
                source = self._id(Label.FILE, symbol.path)
                yield self._joined(RelationshipType.DEFINES, Label.FILE, source, symbol.label, symbol.id)

    def _root(self, head: Head) -> dict[str, str | None]:
        known = self._repository
        return {"name": known.name, "url": known.url, "commit": head.commit, "branch": head.branch}

    def _directory(self, entry: Entry) -> Node:
        status = self._tally.gap(entry.path, entry.reason, failed=entry.failed) if entry.reason else None
        properties = {"path": entry.path, "name": entry.name, "status": status, "reason": entry.reason}
        return self._counted(Label.DIRECTORY, self._id(Label.DIRECTORY, entry.path), properties)

    def _file(self, entry: Entry, files: RepositoryFiles, held: Mapping[str, bytes], max_bytes: int | None) -> Node:
        id_ = self._id(Label.FILE, entry.path)
        reason, failed = entry.reason, entry.failed
        if not reason:
            try:
                content = measure(entry.name, files.blocks(entry, max_bytes=max_bytes))
            except Unreadable as error:
                reason, failed = error.reason, True
            else:
                self._tally.took(content, unchanged=held.get(id_) == bytes.fromhex(content.sha256))
                return self._counted(Label.FILE, id_, _parsed(entry, content))
        status = self._tally.gap(entry.path, reason, failed=failed)
        self._tally.files[status] += 1
        return self._counted(Label.FILE, id_, _left_out(entry, status, reason))

    def _counted(self, label: Label, id_: str, properties: Mapping[str, str | int | None]) -> Node:
        self._tally.nodes[str(label)] += 1
        return Node(label, id_, {name: value for name, value in properties.items() if value not in {None, ""}})

    def _joined(
        self, type_: RelationshipType, source_label: Label, source: str, target_label: Label, target: str
    ) -> Relationship:
        self._tally.relationships[str(type_)] += 1
        return Relationship(type_, source_label, source, target_label, target)

    def _end(self, entry: Entry) -> tuple[Label, str]:
        label = Label.DIRECTORY if entry.kind is Kind.DIRECTORY else Label.FILE
        return label, self._id(label, entry.path)

    def _place(self, directory: str) -> tuple[Label, str]:
        if directory == paths.ROOT:
            return Label.REPOSITORY, self._repository.id
        return Label.DIRECTORY, self._id(Label.DIRECTORY, directory)

    def _id(self, label: Label, path: str) -> str:
        return node_id(self._repository.id, label, path)


def _parsed(entry: Entry, content: Content) -> dict[str, str | int | None]:
    return {
        "path": entry.path,
        "name": entry.name,
        "extension": extension_of(entry.name),
        "size": content.size,
        "content_type": content.content_type,
        "language": content.language,
        "lines": content.lines,
        "sha256": content.sha256,
        "status": "parsed",
    }


def _left_out(entry: Entry, status: str, reason: str) -> dict[str, str | int | None]:
    """What can be said of a file that was not read."""
    regular = entry.kind is Kind.FILE
    return {
        "path": entry.path,
        "name": entry.name,
        "extension": extension_of(entry.name),
        "size": entry.size if regular else None,
        "content_type": content_type(entry.name) if regular else None,
        "status": status,
        "reason": reason,
    }
