r"""How a path of the file system is written in the graph, and back.

In the graph a path is text: relative to the repository, `/` between the names, `.` for the repository itself. In the
file system a name is bytes. Bytes that are not UTF-8, the backslash, and characters that a terminal or a log would act
on are written as `\x` and two hex digits a byte. So every name has exactly one spelling, which leads back to it, and no
NUL, lone surrogate or line end ever reaches the graph.
"""

import re

#: The graph path of the repository's own directory.
ROOT = "."

#: Control characters, the backslash, line and paragraph separators, what turns the direction of writing, and what
#: `surrogateescape` makes of bytes that are not UTF-8.
_SPECIAL = re.compile("[\x00-\x1f\\\\\x7f-\x9f\u2028-\u202e\u2066-\u2069\udc80-\udcff]")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def escape(raw: bytes) -> str:
    """The name, or the path, as the graph writes it."""
    return _SPECIAL.sub(_as_hex, raw.decode("utf-8", "surrogateescape"))


def unescape(path: str) -> bytes:
    """What `escape` made this of. ValueError if it can have made no such text."""
    raw = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), path.encode("utf-8", "surrogatepass"))
    if escape(raw) != path:
        raise ValueError(f"not a path as the graph writes it: {path!r}")
    return raw


def join(directory: str, name: str) -> str:
    """The graph path of what is called `name` in `directory`."""
    return name if directory == ROOT else f"{directory}/{name}"


def parent(path: str) -> str:
    """The graph path of the directory that holds `path`."""
    return path.rpartition("/")[0] or ROOT


def _as_hex(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))
