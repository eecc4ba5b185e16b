"""What definitions do to each other, as an engine found it. An engine is one file and one class in `engines/`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from codestory_blarify.definitions import Definition


@dataclass(frozen=True, slots=True, order=True)
class External:
    """Something outside of the repository: a module or a name of it, by its import path (`os.path`)."""

    name: str
    distribution: str = ""


#: A definition by its position in the list of definitions, a file by its path, or what is outside.
End = int | str | External


@dataclass(frozen=True, slots=True)
class Reference:
    """One mention in the source. `type`: CALLS, IMPORTS, INHERITS_FROM, OVERRIDES, INSTANTIATES or USES.

    `source` is the innermost definition around the mention, or the file. `line` counts from 1. `name`: for IMPORTS the
    name that the importing file gives to what it imports."""

    type: str
    source: int | str
    target: End
    line: int
    name: str = ""
    #: How the target was found, where that is not the engine's own answer: `syntax`, by names and scopes alone.
    resolved_by: str = ""


@dataclass(frozen=True, slots=True)
class References:
    """What an engine found. `problems`: what it could not take in, by path, with the reason."""

    found: Sequence[Reference] = ()
    problems: Sequence[tuple[str, str]] = ()
    #: Import path of each file that has one, by path.
    modules: dict[str, str] = field(default_factory=dict[str, str])
    counts: dict[str, int] = field(default_factory=dict[str, int])


class Engine(Protocol):
    """Finds the references in the files of some languages."""

    #: What `resolved_by` says: `pyrefly`.
    name: str
    #: Languages as File nodes name them: `Python`.
    languages: frozenset[str]

    async def prepare(self, tree: Path, work: Path) -> None:
        """Run the engine's own program, if it has one: what can be done while the definitions are still being found.

        `tree`: the sanitized copy of the repository, read-only. `work`: an empty folder of the engine's own.
        Raises EngineFailed, with a sentence a user can read; programs it started are gone then, also when it is
        cancelled."""
        ...

    async def references(
        self,
        tree: Path,
        work: Path,
        definitions: Sequence[Definition],
        progress: Callable[[int, int, str], None],
    ) -> References:
        """After `prepare` with the same folders. `progress`: files done, of how many, the path of the one at hand."""
        ...


class EngineFailed(Exception):
    """The engine gave no references."""


class EngineKilled(EngineFailed):
    """Its program was killed from outside, by an operator or for want of memory: another try may end otherwise."""
