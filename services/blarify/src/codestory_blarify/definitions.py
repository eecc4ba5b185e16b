"""What Blarify found: the classes, functions and methods of a repository, each with its place in its file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition, as it stands in its file. Equals in one scope (overloads, a getter and its setter, the branches
    of an `if`) are definitions of their own, told apart by `ordinal`: their order in the file, from 0.

    Lines count from 1 and include the last; `name_column` counts UTF-8 bytes from 0. `qualified_name` is the name
    within the file, its scopes joined by dots (`Flask.run`, `outer.inner`)."""

    label: str  # Class, Function or Method
    kind: str  # Blarify's own word: class, function
    path: str  # as in the graph
    name: str
    qualified_name: str
    ordinal: int
    start_line: int
    end_line: int
    name_line: int
    name_column: int
    language: str
    level: int  # Blarify's depth: of the folders, the file and the scopes above
    sha256: str  # of the definition's own text
    signature: str
    docstring: str = ""
    #: Position in the list of definitions of the scope that holds it; None: the file itself.
    parent: int | None = None
    #: Import path of its file (`flask.app`), where the language has such.
    module: str = ""
    #: Its text, if that is to be stored.
    source: str | None = None
