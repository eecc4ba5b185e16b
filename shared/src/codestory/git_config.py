"""Reads what a repository's `.git` says about its origin, as files: no git runs, and nothing beyond the repository."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Git's own files of this kind take a few kilobytes.
MAX_BYTES: Final = 1024 * 1024

_SECTION: Final = re.compile(r'\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\\n]|\\.)*)")?\s*\]')
_ENTRY: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*(?:=[ \t]*(.*))?")
_ESCAPES: Final = {"n": "\n", "t": "\t", "b": "\b", "\\": "\\", '"': '"'}


def origin(repository: Path) -> str:
    """The address of the remote `origin`, credentials and all, or empty. `repository` has no symlinks in it."""
    try:
        config = _config_file(repository)
    except OSError:  # A directory that may be listed and not entered.
        return ""
    return value(_text(config), "remote", "origin", "url") if config else ""


def value(text: str, section: str, subsection: str, name: str) -> str:
    """The first value of `section.subsection.name` in a git configuration, or empty. Includes are not followed."""
    here = False
    for line in _lines(text):
        rest = line.strip()
        if heading := _SECTION.match(rest):
            here = _names(heading) == (section, subsection)
            rest = rest[heading.end() :].strip()
        entry = _ENTRY.fullmatch(rest)
        if here and entry and entry[1].lower() == name:
            return _unquoted(entry[2] or "")
    return ""


def _names(heading: re.Match[str]) -> tuple[str, str]:
    """Section and subsection: `[remote "origin"]`, or as git once wrote it, `[remote.origin]`."""
    if heading[2] is not None:
        return heading[1].lower(), re.sub(r"\\(.)", r"\1", heading[2])
    section, _, subsection = heading[1].lower().partition(".")
    return section, subsection


def _lines(text: str) -> Iterator[str]:
    """Lines, those that end in an odd number of backslashes joined with the next; comments never are."""
    begun = ""
    for raw in text.split("\n"):
        line = begun + raw.removesuffix("\r")
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2 and not line.lstrip().startswith(("#", ";")):
            begun = line[:-1]
            continue
        begun = ""
        yield line
    if begun:
        yield begun


def _unquoted(raw: str) -> str:
    """A value without its quotes, escapes and comment."""
    out: list[str] = []
    quoted = False
    characters = iter(raw)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            out.append(_ESCAPES.get(following, following))
        elif character == '"':
            quoted = not quoted
        elif character in "#;" and not quoted:
            break
        else:
            out.append(character)
    return "".join(out).strip()


def _config_file(repository: Path) -> Path | None:
    git = repository / ".git"
    if git.is_symlink():
        return None
    if git.is_dir():
        return git / "config"
    pointer = _text(git)
    if not pointer.startswith("gitdir:"):
        return None
    target = _real(repository, pointer.removeprefix("gitdir:").strip())
    if target.is_relative_to(repository):
        return target / "config"
    return _worktree(git, target) or _submodule(repository, target)


def _worktree(git: Path, target: Path) -> Path | None:
    """`main/.git/worktrees/name` belongs to a worktree only if it points back to it: any file can claim otherwise."""
    main = target.parent.parent
    if target.parent.name != "worktrees" or _real(target, _text(target / "gitdir").strip()) != git:
        return None
    return main / "config" if _real(target, _text(target / "commondir").strip()) == main else None


def _submodule(repository: Path, target: Path) -> Path | None:
    """`super/.git/modules/name` belongs to a submodule only if its own configuration points back to it."""
    if "modules" not in target.parts:
        return None
    back = value(_text(target / "config"), "core", "", "worktree")
    return target / "config" if back and _real(target, back) == repository else None


def _real(base: Path, path: str) -> Path:
    try:
        return Path(os.path.realpath(base / path))
    except ValueError:  # A NUL in it.
        return base


def _text(path: Path) -> str:
    """The text of a small regular file, not through a symlink; empty if there is none that can be read."""
    try:
        # Non-blocking, so that a FIFO in its place is passed over and not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return ""
        return file.read(MAX_BYTES).decode("utf-8", "replace")
