"""Whether a query only reads. ArcadeDB takes a write in a read session, so it must be seen before it is sent."""

import re

from codestory.graph.errors import QueryRefused

#: Words that begin a clause that changes data, schema, users or files.
WRITES = re.compile(
    r"ALTER|CREATE|DEALLOCATE|DELETE|DENY|DETACH|DROP|DRYRUN|ENABLE|FOREACH|GRANT|INSERT|LOAD|MERGE|REALLOCATE|REMOVE"
    r"|RENAME|REVOKE|SET|START|STOP|TERMINATE|TRANSACTIONS",
    re.IGNORECASE,
)
#: Procedures that may be called: they list or search.
READING_PROCEDURES = re.compile(
    r"db\.(labels|relationshipTypes|propertyKeys|ping|info)|db\.schema\.\w+|dbms\.components"
    r"|db\.index\.(fulltext|vector)\.query\w+",
    re.IGNORECASE,
)
#: What cannot hold a clause: strings, quoted names, comments.
OPAQUE = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`]|``)*`|//[^\n\r]*|/\*.*?\*/", re.DOTALL)
WORD = re.compile(r"[^\W\d]\w*")


def refuse_writes(query: str) -> None:
    """Raise QueryRefused if the query could write. A name that looks like a clause (`set`) is quoted with backticks."""
    text = OPAQUE.sub(" ' ", query)
    if "\\" in text:  # \\u0043REATE
        raise QueryRefused("A backslash may stand only inside of a string.")
    for word in WORD.finditer(text):
        if WRITES.fullmatch(word[0]) and not _is_name(text, word):
            raise QueryRefused(f"{word[0].upper()} changes the graph; only queries that read are run here.")
        if word[0].upper() == "CALL" and not _is_name(text, word):
            _refuse_unknown_procedure(text[word.end() :].lstrip())


def _refuse_unknown_procedure(called: str) -> None:
    """`called` is what follows CALL: a subquery, or a procedure's name."""
    name = re.match(r"[\w.]*", called)
    if called.startswith(("{", "(")) or (name and READING_PROCEDURES.fullmatch(name[0])):
        return
    raise QueryRefused("Only procedures that are known to read can be called, such as db.labels.")


def _is_name(text: str, word: re.Match[str]) -> bool:
    """A property, label, type, parameter, or key of a map: none of them begins a clause."""
    before, after = text[: word.start()].rstrip(), text[word.end() :].lstrip()
    return before.endswith((".", ":", "$")) or after.startswith(":")
