"""What is summarized: one symbol, file, directory or repository, with all that may be said of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Related:
    """Something a subject depends on, holds, or is used by. `summary` is empty where it is not to be seen."""

    name: str
    kind: str
    relation: str  # calls, instantiates, inherits from, contains, defines …
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that a summary may be made of; its texts are redacted already.

    `kind`: function, method, class, file, directory, repository. `code` is empty for directories and the repository.
    `dependencies` come with their summaries, in an order that depends on content alone."""

    kind: str
    name: str  # qualified
    path: str
    language: str = ""
    signature: str = ""
    docstring: str = ""
    code: str = ""
    truncated: bool = False  # `code` was cut
    dependencies: tuple[Related, ...] = ()
    #: Names of what uses it; only the extractive provider says so.
    used_by: tuple[str, ...] = ()
    #: Others of the same cycle: their names and signatures are seen, not their summaries.
    cycle: tuple[Related, ...] = ()
