"""What documents can name: files by path, documents and sections by path, anchor and label."""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import filter as matching

from codestory_docgrapher.document import Document

#: Folders whose files are made to be like other people's.
SAMPLE_FOLDERS = frozenset({"test", "tests", "testing", "testdata", "test_data", "fixtures", "data", "templates"})


class Missing(StrEnum):
    """Why a name leads nowhere in this repository."""

    BROKEN = "broken"
    EXTERNAL = "external"
    DIRECTORY = "directory"
    AMBIGUOUS = "ambiguous"
    #: A label that no document here has; it may be another project's.
    UNKNOWN_LABEL = "unknown_label"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """An end of a relationship. Symbols go by the id that their owner gave them."""

    label: str
    path: str
    anchor: str | None = None
    id: str = ""

    def __post_init__(self) -> None:
        # None and text do not compare; places are sorted within one label, where either all have an anchor or none.
        assert (self.anchor is not None) == (self.label == "Section")


@dataclass(frozen=True, slots=True)
class Found:
    place: Place
    confidence: float = 1.0


Resolution = Found | Missing


def document_place(document: Document, anchor: str | None = None) -> Place:
    """The section of this anchor; None: the document itself."""
    return Place("Document", document.path) if anchor is None else Place("Section", document.path, anchor)


def within(folder: str, path: str) -> str | None:
    """A path seen from a folder of the repository, as a path of the repository; None where it leads out of it."""
    whole = posixpath.normpath(posixpath.join(folder, path.lstrip("/")))
    return None if whole == ".." or whole.startswith("../") else whole


class Files:
    """The files of the repository, found by what people write for them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._by_name: dict[str, list[str]] = {}
        self._folders: set[str] = {"."}
        for path in sorted(self._paths):
            folder, _, name = path.rpartition("/")
            self._by_name.setdefault(name, []).append(path)
            while folder and folder not in self._folders:
                self._folders.add(folder)
                folder = folder.rpartition("/")[0]
        self._by_suffix: dict[str, str | Missing] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def is_folder(self, path: str) -> bool:
        return path in self._folders

    def exactly(self, written: str, folder: str) -> Resolution:
        """By its whole path, from the root or from the document's folder, which is nearer and wins."""
        rooted, relative = within("", written), within(folder, written)
        rooted = rooted if rooted in self._paths else None
        relative = relative if relative in self._paths else None
        bare = 0.7 if "/" not in written else 1.0
        match rooted, relative:
            case None, None:
                return Missing.UNKNOWN
            case str(), None:
                return Found(Place("File", rooted), 0.95 * bare)
            case None, str():
                return Found(Place("File", relative), 0.85 * bare)
            case _:
                same = rooted == relative
                return Found(Place("File", relative or ""), (0.95 if same else 0.7) * bare)

    def by_suffix(self, written: str) -> Resolution:
        """By the last parts of its path, if no other file ends so."""
        name = written.removeprefix("./")
        if name not in self._by_suffix:
            self._by_suffix[name] = self._one_that_ends_with(name)
        path = self._by_suffix[name]
        if isinstance(path, Missing):
            return path
        if "/" in name:
            return Found(Place("File", path), 0.75)
        # `manage.py` in a manual is the reader's, not the only one here, which stands among the tests' data.
        return Found(Place("File", path), 0.3 if SAMPLE_FOLDERS & set(path.split("/")[:-1]) else 0.6)

    def _one_that_ends_with(self, suffix: str) -> str | Missing:
        found: str | None = None
        for path in self._by_name.get(suffix.rpartition("/")[2], ()):
            if path == suffix or path.endswith("/" + suffix):
                if found is not None:
                    return Missing.AMBIGUOUS
                found = path
        return found or Missing.UNKNOWN


@dataclass(frozen=True, slots=True)
class Symbol:
    """A class, function or method, as the graph has it.

    `qualified_name` is the name within its file (`Flask.run`), `module` the import path of the file (`flask.app`), or
    empty where the language has none.
    """

    id: str
    label: str
    name: str
    qualified_name: str
    path: str
    start_line: int = 0
    docstring: str = ""
    module: str = ""


#: What a site generator's link without a suffix, or with the output's, may stand for, in this order.
_SOURCES = (".md", ".rst", ".txt", ".markdown", ".mdx")
_IMAGES = ("svg", "png", "gif", "jpg", "jpeg", "webp", "pdf")
_INDEXES = ("README", "index", "readme")


class Documents:
    """The documents of the repository by path, as written in links and by Sphinx, and by label."""

    def __init__(self, documents: Iterable[Document], files: Files) -> None:
        self.by_path = {document.path: document for document in documents}
        self._files = files
        self._labels: dict[str, list[tuple[str, str | None]]] = {}
        self._roots: dict[str, str | None] = {}
        for document in self.by_path.values():
            for label, anchor in document.labels.items():
                self._labels.setdefault(label, []).append((document.path, anchor))

    def at(self, path: str, fragment: str) -> Resolution:
        """A document or, where there is none, a file or folder. A fragment that is not there leads to the document."""
        document = self.by_path.get(path) or self._source_of(path)
        if document is not None:
            certainty = 1.0 if document.path == path else 0.8
            return self.anchored(document, fragment, certainty)
        if path in self._files:
            return Found(Place("File", path))
        return Missing.DIRECTORY if self._files.is_folder(path) else Missing.BROKEN

    def image(self, path: str) -> Resolution:
        """Sphinx writes `diagram.*` for whichever format there is."""
        names = (path[:-1] + suffix for suffix in _IMAGES) if path.endswith(".*") else ()
        return next((Found(Place("File", name), 0.9) for name in names if name in self._files), Missing.BROKEN)

    def anchored(self, document: Document, fragment: str, certainty: float = 1.0) -> Found:
        for name in (fragment, fragment.lower()):
            if name in document.anchors:
                return Found(document_place(document, document.anchors[name]), certainty)
        return Found(document_place(document), certainty * 0.8 if fragment else certainty)

    def by_sphinx_name(self, origin: Document, name: str) -> Resolution:
        """As `:doc:` and toctree have it: without suffix, from the document's folder or from its project's root."""
        for folder in self.folders(origin, name):
            path = within(folder, name)
            if path is None:
                continue
            own_suffix = posixpath.splitext(origin.path)[1]
            for candidate in (path + own_suffix, *(path + suffix for suffix in _SOURCES), path):
                if candidate in self.by_path:
                    return Found(document_place(self.by_path[candidate]))
        return Missing.BROKEN

    def by_pattern(self, origin: Document, pattern: str) -> list[Found]:
        """As a toctree with `:glob:` has it."""
        suffix = posixpath.splitext(origin.path)[1]
        for folder in self.folders(origin, pattern):
            path = within(folder, pattern)
            names = matching(self.by_path, path + suffix) if path else []
            # fnmatch lets * cross folders, Sphinx does not
            names = [name for name in names if path and name.count("/") == path.count("/") and name != origin.path]
            if names:
                return [Found(document_place(self.by_path[name]), 0.9) for name in sorted(names)]
        return []

    def labelled(self, origin: Document, label: str) -> Resolution:
        """By a label of the same Sphinx project, else of the only document that has it."""
        places = self._labels.get(" ".join(label.lower().split()), [])
        if len(places) > 1:
            root = self.root(origin)
            places = [place for place in places if self.root(self.by_path[place[0]]) == root] or places
        if len(places) != 1:
            return Missing.AMBIGUOUS if places else Missing.UNKNOWN_LABEL
        [(path, anchor)] = places
        return Found(document_place(self.by_path[path], anchor))

    def folders(self, origin: Document, target: str) -> list[str]:
        """Where a path written in a document may start: a leading slash means the root of its Sphinx project."""
        folder = posixpath.dirname(origin.path)
        if not target.startswith("/"):
            return [folder]
        root = self.root(origin)
        if root is not None:
            return [root]
        above = [folder]
        while above[-1]:
            above.append(posixpath.dirname(above[-1]))
        return above

    def root(self, document: Document) -> str | None:
        """The nearest folder above with Sphinx's conf.py."""
        return self._root_above(posixpath.dirname(document.path))

    def _root_above(self, folder: str) -> str | None:
        if folder not in self._roots:
            above = folder
            while above and f"{above}/conf.py" not in self._files:
                above = posixpath.dirname(above)
            self._roots[folder] = above if above or "conf.py" in self._files else None
        return self._roots[folder]

    def _source_of(self, path: str) -> Document | None:
        stem, suffix = posixpath.splitext(path)
        stems = [stem] if suffix in {".html", ".htm"} else [path]
        stems += [posixpath.join(path, index) for index in _INDEXES] if self._files.is_folder(path) else []
        candidates = [stem.removeprefix("./") + source for stem in stems for source in _SOURCES]
        return next((self.by_path[name] for name in candidates if name in self.by_path), None)
