"""What a piece of code imports, as Python writes it; the code may be part of a console's session."""

import re
from collections.abc import Iterator

from codestory_docgrapher.document import Kind, Mention

_PROMPT = r"(?:(?:>>>|\.\.\.|In \[\d*\]:)[ ]?)?[ \t]*"
_PATH = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_FROM = re.compile(rf"^{_PROMPT}from[ \t]+({_PATH})[ \t]+import[ \t]+(\([^()]{{0,2000}}\)|[^\n(#]+)", re.MULTILINE)
_IMPORT = re.compile(rf"^{_PROMPT}import[ \t]+([^\n(#]+)", re.MULTILINE)
_NAMED = re.compile(rf"({_PATH}|\*)(?:[ \t]+as[ \t]+([^\W\d]\w*))?")
_COMMENT = re.compile(r"#[^\n]*")
#: Names of one import that are looked at.
_NAMES = 50


def mentions(code: str, line: int = 1, kind: Kind = Kind.IMPORT) -> Iterator[Mention]:
    """Each imported name; `line` is that of the code's start."""
    if "import" not in code:
        return
    for match in _FROM.finditer(code):
        at = line + code.count("\n", 0, match.start())
        for name, alias in _named(match[2]):
            target = match[1] if name == "*" else f"{match[1]}.{name}"
            yield Mention(kind, target, at, alias="" if name == "*" else alias or name)
    for match in _IMPORT.finditer(code):
        at = line + code.count("\n", 0, match.start())
        for name, alias in _named(match[1]):
            if name != "*":
                yield Mention(kind, name, at, alias=alias or ("" if "." in name else name))


def _named(names: str) -> Iterator[tuple[str, str]]:
    for part in _COMMENT.sub("", names.strip("()")).split(",")[:_NAMES]:
        match = _NAMED.fullmatch(part.strip().rstrip(";").strip())
        if match:
            yield match[1], match[2] or ""
