"""What is said of a definition in its text: its signature and its documentation. Knows syntax trees, not Blarify."""

import ast
import inspect
import re
import warnings
from collections.abc import Iterator
from typing import Protocol, Self

#: Longer ones are cut.
SIGNATURE_CHARS = 1_000
DOCSTRING_CHARS = 20_000
#: As much of a definition's head is looked at. More is no signature but data.
_HEAD_BYTES = 20_000


class Point(Protocol):
    row: int
    column: int


class SyntaxNode(Protocol):
    """What we use of tree_sitter.Node."""

    type: str
    start_byte: int
    end_byte: int
    start_point: Point
    end_point: Point
    children: list[Self]
    named_children: list[Self]
    parent: Self | None
    prev_sibling: Self | None
    text: bytes | None


# signature

#: Line ends beside a bracket, with the comma before a closing one: they fall away, others become a space.
_OPENED = re.compile(r"(?<=[(\[<])[ \t]*\n\s*")
_CLOSED = re.compile(r",?[ \t]*\n\s*(?=[)\]>])")
_SPACE = re.compile(r"\s+")
#: What stands between a head and its body.
_TAIL = re.compile(r"(?:\s|:|\{|=>|;)+$")
_RUBY_END = re.compile(r"[;\s]+end$")
_COMMENT_MARKS = (b"#", b"//", b"/*")


def signature(node: SyntaxNode, body: SyntaxNode | None, source: bytes) -> str:
    """The text from the definition's start to its body, on one line, without comments."""
    end = node.end_byte if body is None else body.start_byte
    if body is None and node.type in {"type_spec", "type_alias"}:  # Go: what is in the braces is the type's content
        brace = source.find(b"{", node.start_byte, end)
        end = end if brace < 0 else brace
    end = min(end, node.start_byte + _HEAD_BYTES)
    text = _without_comments(node, source, end).decode("utf-8", "ignore")
    text = _SPACE.sub(" ", _CLOSED.sub("", _OPENED.sub("", text))).strip()
    if body is None:
        text = _RUBY_END.sub("", text)
    return _cut(_TAIL.sub("", text), SIGNATURE_CHARS)


def _without_comments(node: SyntaxNode, source: bytes, end: int) -> bytes:
    head = source[node.start_byte : end]
    if not any(mark in head for mark in _COMMENT_MARKS):
        return head
    kept: list[bytes] = []
    at = node.start_byte
    for comment in _comments(node, end):
        kept.append(source[at : comment.start_byte])
        at = comment.end_byte
    return b"".join([*kept, source[at:end]])


def _comments(node: SyntaxNode, end: int) -> Iterator[SyntaxNode]:
    pending = [node]
    while pending:
        one = pending.pop()
        if one.start_byte >= end:
            continue
        if _is_comment(one):
            yield one
        else:
            pending.extend(reversed(one.children))


# documentation


def docstring(node: SyntaxNode, body: SyntaxNode | None, *, python: bool) -> str:
    """Python: the first string of the body. Elsewhere: the comment directly above, without its marks."""
    text = _python_docstring(body) if python else _comment_above(node)
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    return _cut(text.strip(), DOCSTRING_CHARS)


def _python_docstring(body: SyntaxNode | None) -> str:
    first = next((child for child in body.named_children if not _is_comment(child)), None) if body else None
    if first is None or first.type != "expression_statement" or len(first.named_children) != 1:
        return ""
    literal = first.named_children[0]
    if literal.type not in {"string", "concatenated_string"}:
        return ""
    try:
        with warnings.catch_warnings(action="ignore"):  # a backslash that escapes nothing
            value = ast.literal_eval((literal.text or b"").decode("utf-8"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # an f-string, or broken
        return ""
    return inspect.cleandoc(value) if isinstance(value, str) else ""


#: Lines of a comment that speak to a tool.
_DIRECTIVE = re.compile(r"^\s*//(?:go:|nolint|\s*eslint-|\s*@ts-)")
_MARKS = re.compile(r"^\s*(?:/\*+!?|\*+/|\*(?!/)|///?/?!?|#+)? ?|\s*\*+/\s*$")


#: What stands around a definition on its line, and carries its comment.
_AROUND = frozenset({"export_statement", "lexical_declaration", "variable_declaration", "type_declaration"})


def _comment_above(node: SyntaxNode) -> str:
    node = _outermost(node)
    comment, below = _before(node), node.start_point.row
    if comment is not None and comment.type == "decorator":
        while comment is not None and comment.type == "decorator":
            comment, below = comment.prev_sibling, comment.start_point.row
    block: list[str] = []
    while comment is not None and _is_comment(comment) and comment.end_point.row >= below - 1:
        before = comment.prev_sibling
        if before is not None and before.end_point.row == comment.start_point.row:
            break  # it is about what stands before it on its line
        block.append((comment.text or b"").decode("utf-8", "ignore"))
        below, comment = comment.start_point.row, before
    lines = [line for text in reversed(block) for line in text.splitlines() if not _DIRECTIVE.match(line)]
    return inspect.cleandoc("\n".join(_MARKS.sub("", line) for line in lines))


def _outermost(node: SyntaxNode) -> SyntaxNode:
    while node.parent and node.parent.type in _AROUND and node.parent.start_point.row == node.start_point.row:
        node = node.parent
    return node


def _before(node: SyntaxNode) -> SyntaxNode | None:
    before = node.prev_sibling
    if (
        before is None and node.parent and node.parent.type == "body_statement"
    ):  # Ruby: a body begins with its first word
        return node.parent.prev_sibling
    return before


def _is_comment(node: SyntaxNode) -> bool:
    return node.type.endswith("comment")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
