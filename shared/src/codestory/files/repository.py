"""The files of a repository: found by `walk`, read by `read` and `blocks`, never outside it. Every step reads so.

Paths are the graph's (codestory.files.paths). What cannot be read is an entry with a reason, or `Unreadable`: a step
names it as a gap and goes on.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from codestory.files.confined import ConfinedDirectory, FileSettings
from codestory.files.walk import Entry, Kind, Walk
from codestory.step_errors import Unreadable

__all__ = ["Entry", "FileSettings", "Kind", "RepositoryFiles", "Unreadable", "Walk"]


class RepositoryFiles:
    """The files below one directory. Threads may share it.

    It is opened when first asked for something: RepositoryUnavailable if that fails. `close` it, or use it in a `with`.
    """

    def __init__(self, root: Path, settings: FileSettings | None = None) -> None:
        self.settings = settings or FileSettings()
        self._confined = ConfinedDirectory(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget what is open. Reading afterwards opens it again."""
        self._confined.close()

    def walk(
        self, *, ignore: Sequence[str] = (), use_gitignore: bool = True, max_file_bytes: int | None = None
    ) -> Walk:
        """What is in the repository and not ignored: a directory before its contents, its files before its directories,
        each by name, the same order every time. Symbolic links are entries and are not followed.

        Ignored are, the first that says something decides: `ignore` (patterns as in .gitignore, `!` takes back),
        `.codestoryignore` at every level, directories that hold no source (`walk.ALWAYS_IGNORED`), and with
        `use_gitignore` the `.gitignore` at every level and `.git/info/exclude`. StepError if a pattern of `ignore` can
        match nothing, or if there are more entries than the settings allow.
        """
        limits = self.settings
        if max_file_bytes is not None:
            limits = limits.model_copy(update={"max_file_bytes": max_file_bytes})
        return Walk(self._confined, limits, ignore=ignore, use_gitignore=use_gitignore)

    def blocks(self, file: Entry | str, *, max_bytes: int | None = None) -> Iterator[bytes]:
        """The contents of a file, in blocks. Unreadable, also in the middle, if something is wrong with it."""
        path = file if isinstance(file, str) else file.path
        return self._confined.blocks(path, self.settings.max_file_bytes if max_bytes is None else max_bytes)

    def read(self, file: Entry | str, *, max_bytes: int | None = None) -> bytes:
        """The whole contents of a file. Unreadable if something is wrong with it."""
        return b"".join(self.blocks(file, max_bytes=max_bytes))

    def link(self, names: Sequence[bytes]) -> bytes:
        """What a symbolic link says, which is not followed. OSError if there is none."""
        with self._confined.directory(names[:-1]) as directory:
            return os.readlink(names[-1], dir_fd=directory)
