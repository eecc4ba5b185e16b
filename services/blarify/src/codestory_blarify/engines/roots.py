"""Where the imports of a Python repository start, and which file an import path names. Pure: knows paths alone."""

import itertools
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath

#: Folders that are put on the search path by their build, if they are no packages themselves.
_SOURCE_FOLDERS = frozenset({"src", "lib", "python"})
#: What may hold a module, the best first.
_ENDINGS = (".py", "/__init__.py", ".pyi", "/__init__.pyi")
#: The first name of an absolute import.
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)


class Roots:
    """The folders from which import paths count: `src`, `lib` and `python` wherever they are no packages, then the
    repository. A module is told by its location, its path without ending: `src/flask/app`, `src/flask`.

    `imported`: the first parts of the absolute imports of each file. What they find beside the file or above it, as
    programs that are run from their own folder do, makes that folder a root too, if nothing else has these names."""

    def __init__(self, paths: Iterable[str], imported: Mapping[str, AbstractSet[str]]) -> None:
        self.files = frozenset(path for path in paths if path.endswith((".py", ".pyi")))
        self._folders = frozenset(str(folder) for path in self.files for folder in PurePosixPath(path).parents)
        self._near: dict[str, list[str]] = {}
        self.folders: tuple[str, ...] = (*_inside_out(filter(self._starts_imports, self._folders)), "")
        self.folders = (*_inside_out({*self.folders, *self._run_from(imported)} - {""}), "")

    def _starts_imports(self, folder: str) -> bool:
        return PurePosixPath(folder).name in _SOURCE_FOLDERS and not self._is_inside_package(folder)

    def _run_from(self, imported: Mapping[str, AbstractSet[str]]) -> set[str]:
        places: defaultdict[str, set[str]] = defaultdict(set)
        for path, names in imported.items():
            for name in names - sys.stdlib_module_names:
                if not any(self.exists(_join(root, name)) for root in self.folders):
                    places[name].update(itertools.islice(self._beside(name, path), 1))
        found = {folder for folders in places.values() if len(folders) == 1 for folder in folders}
        wanted = set[str]().union(*imported.values())
        return {folder for folder in found if not self._is_inside_package(folder) and self._is_apart(folder, wanted)}

    def _is_apart(self, folder: str, wanted: AbstractSet[str]) -> bool:
        """What is imported anywhere by a name of this folder's can be meant to be here alone."""
        here = {name for name in wanted if self.file_of(_join(folder, name))}
        elsewhere = {name for name in here for root in self.folders if self.exists(_join(root, name))}
        return not (elsewhere or here & sys.stdlib_module_names)

    def _beside(self, name: str, importer: str) -> Iterator[str]:
        """The folders above a file that hold a module of this name, from the inside. A folder without __init__.py is
        none: what is installed would come before it."""
        return (folder for folder in _above(importer) if self.file_of(_join(folder, name)))

    def _is_inside_package(self, folder: str) -> bool:
        return any(self.is_package(str(above)) for above in (PurePosixPath(folder), *PurePosixPath(folder).parents))

    def is_package(self, folder: str) -> bool:
        return f"{folder}/__init__.py" in self.files or f"{folder}/__init__.pyi" in self.files

    def module(self, path: str) -> str:
        """The import path of a file: `flask.app`."""
        location = location_of(path)
        root = next(root for root in self.folders if not root or location.startswith(root + "/"))
        return location.removeprefix(root).strip("/").replace("/", ".") or PurePosixPath(path).stem

    def file_of(self, location: str) -> str | None:
        """The file of a module; None for a folder without __init__.py."""
        return next((location + ending for ending in _ENDINGS if location + ending in self.files), None)

    def exists(self, location: str) -> bool:
        return location in self._folders or self.file_of(location) is not None

    def locate(self, name: str, importer: str) -> str | None:
        """The location of the absolute import path `name` for the file `importer`, None if it is outside.

        Of several roots that have it, the one nearest to the importer. Then, as for a program that is run from its own
        folder, what lies beside the importer or above it; never in place of the standard library."""
        steps = name.replace(".", "/")
        within = [location for root in self._nearest(importer) if self.exists(location := _join(root, steps))]
        regular = (location for location in within if self.file_of(location) is not None)
        if within:
            return next(regular, within[0])
        first = name.partition(".")[0]
        if first in sys.stdlib_module_names:
            return None
        beside = (_join(folder, steps) for folder in self._beside(first, importer))
        return next((location for location in beside if self.exists(location)), None)

    def locate_relative(self, name: str, level: int, importer: str) -> str | None:
        """The location of `from ..name import`, `level` dots."""
        folders = list(_above(importer))
        if level > len(folders):
            return None
        location = _join(folders[level - 1], name.replace(".", "/")) if name else folders[level - 1]
        return location if self.exists(location) else None

    def _nearest(self, importer: str) -> list[str]:
        folder = importer.rpartition("/")[0]
        if folder not in self._near:
            self._near[folder] = sorted(self.folders, key=lambda root: -_shared(root, importer))
        return self._near[folder]


def imported_names(text: bytes) -> set[str]:
    """The first parts of the absolute imports of a file; a few that are none do no harm."""
    return {name.decode() for name in _IMPORT.findall(text)}


def location_of(path: str) -> str:
    """`pkg/mod.py` is at `pkg/mod`, `pkg/__init__.py` at `pkg`."""
    location = path.removesuffix(".pyi").removesuffix(".py")
    return "" if location == "__init__" else location.removesuffix("/__init__")


def _inside_out(folders: Iterable[str]) -> list[str]:
    """The innermost first: a file has the import path of the first root it is in."""
    return sorted(folders, key=lambda folder: (-folder.count("/"), folder))


def _above(path: str) -> Iterator[str]:
    """The folders that a file is in, from the inside; the repository itself is ""."""
    for folder in PurePosixPath(path).parents:
        yield "" if str(folder) == "." else str(folder)


def _join(folder: str, rest: str) -> str:
    return f"{folder}/{rest}" if folder else rest


def _shared(root: str, path: str) -> int:
    """How many folders from the top two paths have in common."""
    count = 0
    for ours, theirs in zip(root.split("/") if root else [], path.split("/"), strict=False):
        if ours != theirs:
            break
        count += 1
    return count
