"""Finds what is in a repository, ignore rules honoured, links not followed: the same entries in the same order.

Iterative, and it holds no more than one directory's entries and the directories still to enter.
"""

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from codestory.files import ignore, paths
from codestory.files.confined import SYMBOLIC_LINK, ConfinedDirectory, FileSettings, names_of, reason_of, too_large
from codestory.step_errors import RepositoryUnavailable, StepError, Unreadable

#: Never entered, whatever a rule says: here git keeps credentials, and nothing of the source.
GIT = b".git"

#: Directories that hold no source of the repository. A `!name` in `.codestoryignore` or in the options takes one back.
#: Virtual environments are known by their `pyvenv.cfg`, not by a name: CPython's own `Lib/venv` is source.
ALWAYS_IGNORED = frozenset(
    {
        b".bzr",
        b".eggs",
        b".gradle",
        b".hg",
        b".hypothesis",
        b".idea",
        b".ipynb_checkpoints",
        b".jj",
        b".mypy_cache",
        b".nox",
        b".parcel-cache",
        b".pytest_cache",
        b".pytype",
        b".ruff_cache",
        b".svn",
        b".terraform",
        b".tox",
        b".venv",
        b".vs",
        b"__pycache__",
        b"bower_components",
        b"node_modules",
    }
)
_VIRTUAL_ENVIRONMENT = b"pyvenv.cfg"

#: A larger ignore file is passed over.
_MAX_RULE_BYTES = 1_000_000

LINK_OUT = "symbolic link out of the repository"


class Kind(StrEnum):
    DIRECTORY = "directory"
    FILE = "file"
    SYMLINK = "symlink"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that the walk found.

    `reason`: why it is not to be read, or was not entered; empty if all is well. `failed`: not by a rule or a limit,
    but because the system would not let us.
    """

    path: str
    kind: Kind
    size: int = 0
    reason: str = ""
    failed: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """A line of an ignore file that was passed over; line 0: the whole file."""

    path: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Ignoring:
    """What decides in one directory. The first of these that says something does."""

    options: ignore.Rules
    chosen: ignore.Scope  # .codestoryignore
    git: ignore.Scope  # .gitignore, .git/info/exclude

    def wish(self, path: Sequence[str], *, directory: bool) -> bool | None:
        """What somebody who had this walk in mind wants."""
        verdict = self.options.verdict(path, directory=directory)
        return self.chosen.verdict(path, directory=directory) if verdict is None else verdict


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directory still to be entered. `wanted`: somebody took it back from what is ignored."""

    path: str
    ignoring: _Ignoring
    wanted: bool = False


class Walk(Iterator[Entry]):
    """The entries, once. The counts are whole when they have all been taken."""

    def __init__(
        self, confined: ConfinedDirectory, limits: FileSettings, *, ignore: Sequence[str], use_gitignore: bool
    ) -> None:
        self.ignored_files = 0
        self.ignored_directories = 0
        self.problems: list[RuleProblem] = []
        self._confined = confined
        self._limits = limits
        self._use_gitignore = use_gitignore
        self._found = 0
        self._entries = self._walk(_rules_of(ignore))

    def __next__(self) -> Entry:
        return next(self._entries)

    def _walk(self, options: ignore.Rules) -> Iterator[Entry]:
        self._confined.close()  # what was open may since have been moved
        nothing = ignore.Scope(ignore.Rules(()))
        excluded = self._rules(f"{paths.escape(GIT)}/info/exclude") if self._use_gitignore else nothing.rules
        pending = [_Directory(paths.ROOT, _Ignoring(options, nothing, nothing.within(excluded, 0)))]
        while pending:
            directory = pending.pop()
            names = names_of(directory.path)
            reason, failed = self._too_far(names), False
            files: list[Entry] = []
            directories: list[_Directory] = []
            if not reason:
                try:
                    if self._is_virtual_environment(names, directory):
                        self.ignored_directories += 1
                        continue
                    files, directories = self._list(directory, names)
                except OSError as error:
                    reason, failed = self._unlistable(directory, error), True
            if names:
                yield Entry(directory.path, Kind.DIRECTORY, reason=reason, failed=failed)
            yield from files
            pending.extend(reversed(directories))

    def _list(self, directory: _Directory, names: tuple[bytes, ...]) -> tuple[list[Entry], list[_Directory]]:
        """The files and the directories of one directory that are not ignored, each by name."""
        ignoring = self._ignoring_in(directory, len(names))
        base = b"/".join(names).decode("latin-1").split("/") if names else []
        files: list[tuple[bytes, Entry]] = []
        directories: list[tuple[bytes, _Directory]] = []
        with self._confined.directory(names) as descriptor, os.scandir(descriptor) as listing:
            for found in listing:
                raw = os.fsencode(found.name)
                is_directory = found.is_dir(follow_symlinks=False)
                way = [*base, raw.decode("latin-1")]
                wish = ignoring.wish(way, directory=is_directory)
                if _is_ignored(raw, wish, ignoring.git, way, directory=is_directory):
                    self._count_ignored(directory=is_directory)
                    continue
                path = paths.join(directory.path, paths.escape(raw))
                if is_directory:
                    directories.append((raw, _Directory(path, ignoring, wanted=wish is False)))
                elif entry := self._entry(found, path, descriptor, names):
                    files.append((raw, entry))
                self._count_found()
        return [entry for _, entry in sorted(files, key=_raw)], [below for _, below in sorted(directories, key=_raw)]

    def _entry(self, found: "os.DirEntry[str]", path: str, directory: int, names: tuple[bytes, ...]) -> Entry | None:
        try:
            status = found.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(os.fsencode(found.name), dir_fd=directory)
                return Entry(path, Kind.SYMLINK, reason=_link_reason(names, target))
        except FileNotFoundError:
            return None  # listed, and gone before it was looked at: it is not there
        except OSError as error:
            return Entry(path, Kind.OTHER, reason=reason_of(error), failed=True)
        if not stat.S_ISREG(status.st_mode):
            return Entry(path, Kind.OTHER, reason=_kind_reason(status.st_mode))
        limit = self._limits.max_file_bytes
        return Entry(path, Kind.FILE, status.st_size, too_large(limit) if status.st_size > limit else "")

    def _ignoring_in(self, directory: _Directory, depth: int) -> _Ignoring:
        """What decides in a directory, with the ignore files that lie in it."""
        ignoring = directory.ignoring
        chosen = self._rules(paths.join(directory.path, ".codestoryignore"))
        ignoring = replace(ignoring, chosen=ignoring.chosen.within(chosen, depth))
        if self._use_gitignore:
            git = self._rules(paths.join(directory.path, ".gitignore"))
            ignoring = replace(ignoring, git=ignoring.git.within(git, depth))
        return ignoring

    def _rules(self, path: str) -> ignore.Rules:
        """The rules of an ignore file; none, with a problem noted, if it cannot be read, and none if there is none."""
        names = names_of(path)
        try:
            with self._confined.directory(names[:-1]) as descriptor:
                os.stat(names[-1], dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return ignore.Rules(())
        try:
            text = b"".join(self._confined.blocks(path, _MAX_RULE_BYTES))
        except Unreadable as error:
            self.problems.append(RuleProblem(path, 0, error.reason))
            return ignore.Rules(())
        rules, problems = ignore.parse(text)
        self.problems.extend(RuleProblem(path, problem.line, problem.reason) for problem in problems)
        return rules

    def _too_far(self, names: tuple[bytes, ...]) -> str:
        if len(names) > self._limits.max_depth:
            return f"more than {self._limits.max_depth:,} directories deep"
        if len(names) + sum(map(len, names)) > self._limits.max_path_bytes + 1:
            return f"path longer than {self._limits.max_path_bytes:,} bytes"
        return ""

    def _is_virtual_environment(self, names: tuple[bytes, ...], directory: _Directory) -> bool:
        if not names or directory.wanted:
            return False
        with self._confined.directory(names) as descriptor:
            try:
                os.stat(_VIRTUAL_ENVIRONMENT, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:
                return False
        return True

    def _unlistable(self, directory: _Directory, error: OSError) -> str:
        reason = reason_of(error)
        if directory.path == paths.ROOT:
            raise RepositoryUnavailable(f"the repository cannot be read: {reason}") from error
        return reason

    def _count_ignored(self, *, directory: bool) -> None:
        if directory:
            self.ignored_directories += 1
        else:
            self.ignored_files += 1

    def _count_found(self) -> None:
        self._found += 1
        if self._found > self._limits.max_files:
            raise StepError(
                f"The repository has more than {self._limits.max_files:,} files and directories that are not ignored. "
                "Name what to leave out in .codestoryignore, or raise CODESTORY_MAX_FILES."
            )


def _rules_of(patterns: Sequence[str]) -> ignore.Rules:
    try:
        return ignore.rules_of(patterns)
    except ignore.BadPattern as error:
        raise StepError(f"A pattern to ignore can match nothing: {error}") from error


def _is_ignored(raw: bytes, wish: bool | None, git: ignore.Scope, path: list[str], *, directory: bool) -> bool:
    if raw == GIT:
        return True
    if wish is not None:
        return wish
    if directory and raw in ALWAYS_IGNORED:
        return True
    return bool(git.verdict(path, directory=directory))


def _raw(item: tuple[bytes, object]) -> bytes:
    return item[0]


def _link_reason(names: tuple[bytes, ...], target: bytes) -> str:
    """Told from the link's text alone: to follow it could lead out of the repository."""
    if target.startswith(b"/"):
        return LINK_OUT
    end = posixpath.normpath(b"/".join([*names, target]))
    return LINK_OUT if end == b".." or end.startswith(b"../") else SYMBOLIC_LINK


def _kind_reason(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "named pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"
