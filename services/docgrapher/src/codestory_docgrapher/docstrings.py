"""What a docstring mentions, whatever it is written in: a scanner of roles, inline code and links, not a parser."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from codestory_docgrapher.document import Kind, Mention
from codestory_docgrapher.places import Place, Symbol
from codestory_docgrapher.sphinx import role_mention

#: As much of a docstring is looked at, and so many of its mentions.
_CHARS, _MENTIONS = 20_000, 200

_MENTIONED = re.compile(
    r":(?P<role>[a-z][\w:+-]{0,30}):`(?P<target>[^`]{1,300})`"
    r"|``(?P<literal>[^`\n]{1,300})``"
    r"|`(?P<code>[^`\n]{1,300})`(?!_)"
    r"|\{@(?:link|linkplain|see)\s+(?P<link>[^\s}|]{1,300})"
    r"|\[(?P<text>[\w.]{1,300})\]\[(?P<reference>[\w.]{0,300})\]"
)
#: `timeout` is mostly an argument; this says that it is code of the repository: a path, a call, a class.
_TELLING = re.compile(r"[.:#]|\(.*\)$|^[A-Z]\w*[a-z]\w*$")
_MARK = "docstring:"
#: Documents and labels are named from folders, and a docstring stands in none.
_NAMING = frozenset({Kind.SYMBOL, Kind.MODULE, Kind.CODE})


def documented(symbols: Iterable[Symbol]) -> Iterator[tuple[Symbol, Place]]:
    """The symbols with a docstring, each with the section made of it. Equals in one file are told apart by their order.

    No heading has an anchor like these.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for symbol in sorted(symbols, key=lambda symbol: (symbol.path, symbol.start_line, symbol.id)):
        key = (symbol.path, symbol.qualified_name)
        if symbol.docstring.strip():
            yield symbol, Place("Section", symbol.path, f"{_MARK}{symbol.qualified_name}:{seen[key]}")
        seen[key] += 1


def ordinal_of(place: Place) -> int:
    return int(str(place.anchor).rpartition(":")[2])


def is_place_of(place: Place) -> bool:
    return bool(place.anchor) and str(place.anchor).startswith(_MARK)


def mentions(symbol: Symbol) -> Iterator[Mention]:
    """Those of a symbol's docstring, with the scopes that names in it stand in."""
    scopes = scopes_of(symbol)
    text = symbol.docstring[:_CHARS]
    for count, match in enumerate(_MENTIONED.finditer(text)):
        if count == _MENTIONS:
            return
        mention = _mention(match, symbol.start_line, scopes)
        if mention is not None:
            yield mention


def scopes_of(symbol: Symbol) -> tuple[str, ...]:
    """The class around a symbol, or itself, and its module."""
    around = symbol.qualified_name if symbol.label == "Class" else symbol.qualified_name.rpartition(".")[0]
    whole = f"{symbol.module}.{around}" if symbol.module and around else around
    return tuple(scope for scope in (whole, symbol.module) if scope)


def _mention(match: re.Match[str], line: int, scopes: tuple[str, ...]) -> Mention | None:
    if match["role"]:
        mention = role_mention(match["role"], match["target"], line, scopes)
        return mention if mention and mention.kind in _NAMING else None
    if name := match["link"] or match["reference"] or match["text"]:
        return Mention(Kind.SYMBOL if match["link"] else Kind.MODULE, name, line, scopes)
    code = match["literal"] or match["code"]
    return Mention(Kind.CODE, code, line, scopes) if _TELLING.search(code) else None
