"""Which version has written a state directory, and which of two versions is the newer."""

from packaging.version import InvalidVersion, Version

from codestory.local.errors import StateNewer
from codestory.local.files import write_private
from codestory.local.paths import StatePaths
from codestory.local.planning import version


def newer(one: str, other: str) -> bool:
    """Whether the first comes after the second. What is no version comes before every one."""
    return _parsed(one) > _parsed(other)


def written_by(paths: StatePaths) -> str:
    """The newest version that has run on this state; empty when none has said so."""
    try:
        return paths.version.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def refuse_newer(paths: StatePaths) -> None:
    """What a newer version has stored may say things that this one does not know, and would lose."""
    written = written_by(paths)
    if newer(written, version()):
        raise StateNewer(
            f"{paths.root} was written by Code Story {written}, this is {version()}: an older one cannot use it. "
            f"Install Code Story {written} or later, or use another directory: CODESTORY_STATE_DIR=/another/directory"
        )


def sign(paths: StatePaths) -> None:
    """This version is about to write here."""
    refuse_newer(paths)
    if written_by(paths) != version():
        write_private(paths.version, version() + "\n")


def _parsed(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")
