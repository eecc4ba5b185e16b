"""Lets docutils read what it does not know: every directive and role of Sphinx or of an extension keeps its content.

Nothing here runs, opens or fetches anything. Directives that would are replaced: `include` and its like only mention
their file, `raw` is nothing. docutils keeps its registries for the whole process; they are filled here with the same
behaviour for every document, so that no document can change how another one is read.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives, languages, roles

from codestory_docgrapher.document import Kind, Mention

_DIRECTIVE = re.compile(r"\.\.[ \t]+(?:\|[^|\n]+\|[ \t]+)?([\w:+.-]+?)[ \t]?::")
_ROLE = re.compile(r":([\w:+.-]+):`|`:([\w:+.-]+):")
#: `Title <target>`, as roles and toctree entries write it.
_TITLED = re.compile(r"^(.*?)\s*<([^<>]*)>$", re.DOTALL)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Roles and directives that name a symbol; a domain (`py:`) may stand before them.
_SYMBOL_ROLES = _words("any attr class const data exc func meth obj type")
_SYMBOL_DIRECTIVES = _words("""
    attribute classmethod data decorator decoratormethod function method property staticmethod
    autofunction automethod autodata autoattribute autoproperty autodecorator
""")
_CLASS_ROLES = _words("class exc")
_CLASS_DIRECTIVES = _words("class exception autoclass autoexception")
_MODULE_DIRECTIVES = _words("module automodule currentmodule")
#: A longer name is no scope: every name below it would carry it.
_SCOPE_CHARS = 200
_LITERAL_DIRECTIVES = _words("""
    code code-block sourcecode highlight testcode testsetup testcleanup testoutput doctest productionlist graphviz
    digraph graph mermaid uml plantuml prompt console ipython parsed-literal code-cell command-output
""")
_FILE_DIRECTIVES = _words("include literalinclude mdinclude")
#: Directives whose effect is on output that is never made, or on how other documents are read.
_EFFECTS = _words("""
    raw role default-role date contents sectnum section-numbering target-notes header footer
""")
#: Roles that docutils lists and does not implement.
_UNIMPLEMENTED_ROLES = _words("""
    index i named-reference anonymous-reference footnote-reference citation-reference substitution-reference target
    uri-reference uri url raw restructuredtext-unimplemented-role
""")


def tolerate(text: str, document: nodes.document) -> None:
    """Make every directive and role that this text uses known to docutils."""
    # typeshed takes it for the language module of output, which has other names in it
    language: Any = languages.get_language("en", document.reporter)
    for name in sorted({match.lower() for match in _DIRECTIVE.findall(text)}):
        known, _ = directives.directive(name, language, document)
        if known is None:
            directives.register_directive(name, _kind_of_directive(name))
    names = {(before or after).lower() for before, after in _ROLE.findall(text)}
    for name in sorted(names):
        known, _ = roles.role(name, language, 0, document.reporter)
        if known is None:
            _register_role(name)


def _register_role(name: str) -> None:
    # typeshed lets a role return references only; docutils takes any nodes
    roles.register_local_role(name, _mentioning)  # pyright: ignore[reportArgumentType]


class _AnyOptions(dict[str, Callable[[str], str]]):
    """An option_spec that has every option."""

    def __bool__(self) -> bool:
        return True

    def __missing__(self, _option: str) -> Callable[[str], str]:
        return _as_written


def _as_written(value: str | None) -> str:
    return value or ""


class _Tolerant(Directive):
    """Argument and content are read as reStructuredText."""

    required_arguments = 0
    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[Any] = _AnyOptions()

    @property
    def argument(self) -> str:
        return self.arguments[0] if self.arguments else ""

    def run(self) -> list[nodes.Node]:
        return [*self._argument(), *self._content()]

    def _argument(self) -> list[nodes.Node]:
        if not self.argument:
            return []
        inline, _ = self.state.inline_text(self.argument, self.lineno)
        paragraph = nodes.paragraph(self.argument, "", *inline)
        paragraph.line = self.lineno
        return [paragraph]

    def _content(self) -> list[nodes.Node]:
        container = nodes.container()
        container.document = self.state.document
        self.state.nested_parse(self.content, self.content_offset, container)
        return container.children

    def _mention(self, kind: Kind, target: str, line: int, label: str = "") -> nodes.Element:
        container = nodes.container(mention=str(kind), target=target, label=label)
        container.line = line
        return container


class _Describing(_Tolerant):
    """The argument is the signature of a symbol, or several, one a line. Names in the content stand in its scope."""

    label = ""

    def run(self) -> list[nodes.Node]:
        content = self._content()
        scope = self._scope(_name_in(self.argument.partition("\n")[0]))
        if content and scope and len(scope) <= _SCOPE_CHARS:
            content = [nodes.container("", *content, scope=scope)]
        return [*self._argument(), *content]

    def _argument(self) -> list[nodes.Node]:
        signatures = self.argument.split("\n")
        return [
            self._mention(Kind.SYMBOL, _name_in(signature), self.lineno + offset, self.label)
            for offset, signature in enumerate(signatures)
        ]

    def _scope(self, name: str) -> str:
        """Of a method, its class."""
        return name.rpartition(".")[0]


class _DescribingClass(_Describing):
    label = "Class"

    def _scope(self, name: str) -> str:
        return name


class _Module(_Tolerant):
    """The argument is an import path; names in the rest of the document stand below it."""

    def _argument(self) -> list[nodes.Node]:
        module = self.argument.strip()
        mention = self._mention(Kind.MODULE, module, self.lineno)
        if self.name.endswith("currentmodule"):
            del mention["mention"]
        mention["module"] = module if len(module) <= _SCOPE_CHARS else "None"
        return [mention]


class _Literal(_Tolerant):
    """The content is code, or some other language."""

    def run(self) -> list[nodes.Node]:
        literal = nodes.literal_block("\n".join(self.content), "\n".join(self.content))
        literal.line = self.content_offset + 1
        return [literal]


class _File(_Tolerant):
    """Names a file, which is not opened."""

    def run(self) -> list[nodes.Node]:
        return [self._mention(Kind.INCLUDE, self.argument.strip(), self.lineno)]


class _Toctree(_Tolerant):
    def run(self) -> list[nodes.Node]:
        # Entries may stand in the block of the options or, after a blank line, in the content.
        entries = [(entry, self.lineno + 1) for entry in self.argument.split("\n")]
        entries += [(entry, self.content_offset + 1 + offset) for offset, entry in enumerate(self.content)]
        return [
            self._mention(Kind.TOCTREE, _target_of(entry.strip()), line)
            for entry, line in entries
            if entry.strip() not in {"", "self"}
        ]


class _Nothing(_Tolerant):
    def run(self) -> list[nodes.Node]:
        return []


def _kind_of_directive(name: str) -> type[_Tolerant]:
    word = name.rpartition(":")[2]
    if word in _MODULE_DIRECTIVES:
        return _Module
    if word in _CLASS_DIRECTIVES:
        return _DescribingClass
    if word in _SYMBOL_DIRECTIVES:
        return _Describing
    return _Literal if word in _LITERAL_DIRECTIVES else _Tolerant


def _mentioning(
    name: str,
    rawtext: str,
    text: str,
    _lineno: int,
    _inliner: object,
    _options: object = None,
    _content: object = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """A role: what it names, and the text it shows."""
    content = nodes.unescape(text)
    shown = _TITLED.sub(r"\1", content)
    mention = role_mention(name, content, 0)
    if mention is None:
        return [nodes.inline(rawtext, shown)], []
    said = {"mention": str(mention.kind), "target": mention.target, "label": mention.label}
    return [nodes.inline(rawtext, shown, **said)], []


def directive_mention(name: str, argument: str, line: int) -> Mention | None:
    """What a directive names that documents a symbol or a module; None for any other."""
    word = name.rpartition(":")[2]
    if word in _MODULE_DIRECTIVES:
        return Mention(Kind.MODULE, argument.strip(), line)
    if word in _CLASS_DIRECTIVES | _SYMBOL_DIRECTIVES:
        return Mention(Kind.SYMBOL, _name_in(argument), line, label="Class" if word in _CLASS_DIRECTIVES else "")
    return None


def role_mention(role: str, content: str, line: int, scopes: tuple[str, ...] = ()) -> Mention | None:
    """What a role names; None for one that names nothing."""
    word = role.rpartition(":")[2].lower()
    kind = _KIND_OF_ROLE.get(word)
    if kind is None:
        return None
    target = _target_of(content)
    if kind in {Kind.SYMBOL, Kind.MODULE}:
        target = _name_in(target.lstrip("~!."))
    return Mention(kind, target, line, scopes, "Class" if word in _CLASS_ROLES else "")


_KIND_OF_ROLE = dict.fromkeys(_SYMBOL_ROLES, Kind.SYMBOL) | {
    "mod": Kind.MODULE,
    "doc": Kind.DOC,
    "ref": Kind.REF,
    "numref": Kind.REF,
    "download": Kind.LINK,
    "file": Kind.CODE,
}


def _target_of(text: str) -> str:
    titled = _TITLED.match(text)
    return titled.group(2).strip() if titled else text.strip()


def _name_in(signature: str) -> str:
    """`async def pkg.name(argument) -> int` names pkg.name."""
    words = signature.partition("(")[0].split()
    return words[-1] if words else ""


def _replace() -> None:
    for names, directive in (
        (_EFFECTS, _Nothing),
        (_FILE_DIRECTIVES, _File),
        (_LITERAL_DIRECTIVES, _Literal),
        ({"class"}, _DescribingClass),
        ({"toctree"}, _Toctree),
    ):
        for name in sorted(names):
            directives.register_directive(name, directive)
    for name in sorted(_UNIMPLEMENTED_ROLES):
        _register_role(name)


_replace()
