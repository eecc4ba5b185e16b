"""How a text says by itself what it is about: a docstring, a document, a comment at its top. Pure."""

import re
from collections.abc import Iterator

from codestory_summarizer.prompt import shortened

#: Characters of an opening that are kept.
MAX_CHARS = 300
#: Lines of a file that are looked at for one. Licences stand before it.
MAX_LINES = 80
#: Characters of a line, and of a paragraph, that are looked at: patterns meet nothing longer.
MAX_LOOKED_AT = 2_000

_ROLE = re.compile(r":[a-zA-Z][\w:+.-]*:`(?:[^`<>]*<)?[~!]?(?:[\w.]*\.)?([^`<>]+)>?`")
_BACKTICKS = re.compile(r"`+([^`]*)`+_{0,2}")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,500}>|\{@\w+\s+([^{}]*)\}")
_RULE = re.compile(r"[-=~^\"'#*+_.:`]{3,}")
#: Here the description of a docstring ends and its parts begin.
_PARTS = re.compile(
    r"(?::\w[^:]*:|@\w+|>>>|\.\. |-{3,}|(?:Args|Arguments|Parameters|Params|Returns?|Raises|Yields|Examples?|Attributes"
    r"|Notes?|Usage|See Also|Keyword Args|Throws)\s*:?\s*$)"
)
_LEGAL = re.compile(
    r"copyright|licen[cs]e|spdx|all rights reserved|warranty|permission is hereby|redistribut|©|\(c\) \d", re.IGNORECASE
)
#: What stands at the top for tools: `#!`, coding, modelines, linters, badges and directives.
_FOR_TOOLS = re.compile(
    r"!|.*\bcoding[:=]|-\*-|vim?:|eslint|flake8|ruff|pylint|mypy|noqa|type:|pragma|prettier|@ts-|jshint|<!|%%|\+build"
    r"|go:|:\w+:|\.\. |\[!\[|!\["
)
_COMMENT = re.compile(r"\s*(?:#+|//[/!]?|/\*+!?|\*+/?|--+|;+|%+|<!--|\"\"\"|'''|\(\*|\{-)(?:\s|(?=\w)|$)")
_COMMENT_END = re.compile(r"\s*(?:\*+/|-->|\*\)|-\}|\"\"\"|''')\s*$")
#: Languages whose files are themselves prose.
PROSE = frozenset({"Markdown", "reStructuredText", "Text", "AsciiDoc", "Org"})


def of_docstring(text: str) -> str:
    """Its first sentences, as plain text that ends like a sentence; empty if it says nothing."""
    return _sentence(_first_paragraph(_lines(text.strip())))


def of_file(text: str, language: str) -> str:
    """What a file says of itself: its module docstring, its title and first paragraph, or the comment at its top."""
    lines = _lines(text)
    if language == "Python" and (docstring := _module_docstring(lines)):
        return of_docstring(docstring)
    if language in PROSE:
        return _of_document(lines)
    return _sentence(_top_comment(lines))


def _lines(text: str) -> list[str]:
    looked_at = text[: MAX_LINES * MAX_LOOKED_AT].splitlines()[:MAX_LINES]
    return [line[:MAX_LOOKED_AT] for line in looked_at]


def _of_document(lines: list[str]) -> str:
    """Title and first paragraph."""
    paragraphs = [plain for lines in _paragraphs(lines) if (plain := _plain(" ".join(lines).lstrip("#= ")))]
    kept = [text for text in paragraphs[:4] if not _LEGAL.search(text) and any(map(str.isalpha, text))][:2]
    if not kept:
        return ""
    title, rest = kept[0].strip(" #="), kept[1:]
    if len(title) > 80 or not rest or rest[0].startswith(title):
        return _sentence(rest[0] if rest and rest[0].startswith(title) else " ".join(kept))
    return _sentence(f"{title.rstrip('.:')}: {rest[0]}")


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines; rules, badges and what is for tools end them."""
    run: list[str] = []
    for line in [*lines, ""]:
        stripped = line.strip()
        if stripped and not _RULE.fullmatch(stripped) and not _FOR_TOOLS.match(stripped):
            run.append(stripped)
            if not stripped.startswith("#"):
                continue
        if run:
            yield run
            run = []


def _top_comment(lines: list[str]) -> str:
    """The first paragraph of comment before the code that is neither legal nor for tools."""
    run: list[str] = []
    for line in lines:
        mark = _COMMENT.match(line)
        inside = _COMMENT_END.sub("", line[mark.end() :]).strip() if mark else ""
        if not mark and line.strip():
            break
        if run and _PARTS.match(inside):
            break
        if inside and not _FOR_TOOLS.match(inside) and not _RULE.fullmatch(inside):
            run.append(inside)
        elif run:
            if not _LEGAL.search(" ".join(run)):
                break
            run = []
    text = " ".join(run)
    return "" if _LEGAL.search(text) or not any(map(str.isalpha, text)) else _plain(text)


def _first_paragraph(lines: list[str]) -> str:
    kept: list[str] = []
    for line in lines:
        stripped = line.strip()
        if _PARTS.match(stripped) or (not stripped and kept):
            break
        if stripped and not _RULE.fullmatch(stripped):
            kept.append(stripped)
    return _plain(" ".join(kept))


def _module_docstring(lines: list[str]) -> str:
    """Of the first lines alone: enough to begin with, and no parser sees a whole hostile file."""
    text = "\n".join(lines)
    match = re.match(r"(?:\s*(?:#[^\n]*)?\n)*\s*[rRuU]?(\"\"\"|'''|\"|')", text)
    if not match:
        return ""
    rest = text[match.end() :]
    closed = rest.find(match[1])
    inside = rest if closed < 0 else rest[:closed]
    return inside.replace("\\\n", "")


def _plain(text: str) -> str:
    text = _ROLE.sub(r"\1", text[:MAX_LOOKED_AT])
    text = _LINK.sub(r"\1", text)
    text = _TAG.sub(lambda match: match[1] or "", text)
    return " ".join(_BACKTICKS.sub(r"\1", text).replace("**", "").split())


def _sentence(text: str) -> str:
    text = shortened(text.strip(" -*"), MAX_CHARS).rstrip(" :;,-")
    if not any(map(str.isalnum, text)):
        return ""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
