"""Reads one Python file with Python's own parser, without recursion: code may be nested as deeply as it likes."""

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from codestory_blarify.engines.places import Found, Places
from codestory_blarify.engines.scopes import VARIABLE, Alias, Defined, Imported, Receiver, Scope, by_rank
from codestory_blarify.engines.syntax import FileSyntax, Import, Mention, Role, path_of, place_of

#: What stands before the name of a definition; the tree has its start only.
_BEFORE_NAME = re.compile(rb"(?:async\s+)?(?:def|class)\s+")
_DefinitionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


#: How often what stands before an error is tried, shorter each time.
_TRIES = 3
#: A line with which a statement of the file itself begins.
_STATEMENT = re.compile(rb"[^\s#)\]}]")


def read(path: str, text: bytes, places: Places) -> FileSyntax:
    """Of a file that Python's own parser does not take, what stands before the error."""
    tree, problem = _parsed(text)
    nodes = list(_definitions(tree))
    lines = text.splitlines()
    found = [Found(node.lineno, _name_column(node, lines), name) for node, name in nodes]
    indexes = dict(zip((node for node, _ in nodes), places.match(path, found), strict=True))
    reader = _Reader(path, indexes)
    reader.read(tree)
    reader.syntax.problem = problem
    reader.syntax.mentions = [one for one in reader.syntax.mentions if _may_lead_somewhere(one, reader.syntax)]
    return reader.syntax


def _may_lead_somewhere(mention: Mention, syntax: FileSyntax) -> bool:
    """Most names are variables or built in: no need to keep them."""
    bindings = mention.scope.look_up(mention.path[0])
    return bool(by_rank(bindings)) if bindings is not None else any(syntax.stars)


def _parsed(text: bytes) -> tuple[ast.Module, str]:
    problem = ""
    for _ in range(_TRIES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(text), problem
        except SyntaxError as error:
            problem = problem or f"line {error.lineno}: {error.msg}"
            text = _before(text, error.lineno or 0)
        except ValueError as error:
            return ast.Module([], []), str(error)
        except (RecursionError, MemoryError):
            return ast.Module([], []), "nested too deeply for Python's parser"
    return ast.Module([], []), problem


def _before(text: bytes, line: int) -> bytes:
    """The statements before the one in which this line is."""
    lines = text.splitlines(keepends=True)[: max(line, 1)]
    starts = [number for number, one in enumerate(lines) if _STATEMENT.match(one)]
    return b"".join(lines[: starts[-1]]) if starts else b""


def _definitions(tree: ast.Module) -> Iterator[tuple[_DefinitionNode, str]]:
    """Each with its name within the file."""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, scope = waiting.pop()
        if isinstance(node, _DEFINITIONS):
            scope = f"{scope}.{node.name}" if scope else node.name
            yield node, scope
        waiting.extend((child, scope) for body in _BODIES for child in _statements(getattr(node, body, None)))


def _statements(body: object) -> list[ast.AST]:
    return [child for child in body if isinstance(child, ast.AST)] if isinstance(body, list) else []  # pyright: ignore[reportUnknownVariableType] -- a list of whatever


def _name_column(node: _DefinitionNode, lines: list[bytes]) -> int:
    before = _BEFORE_NAME.match(lines[node.lineno - 1], node.col_offset)
    return before.end() if before else -1


class _Reader:
    def __init__(self, path: str, indexes: dict[_DefinitionNode, int | None]) -> None:
        self.syntax = FileSyntax(path)
        self._indexes = indexes
        self._waiting: list[tuple[ast.AST, Scope, int | None]] = []

    def read(self, tree: ast.Module) -> None:
        self._push(tree.body, self.syntax.scope, None)
        while self._waiting:
            node, scope, owner = self._waiting.pop()
            handler = self._handlers.get(type(node))
            if handler:
                handler(self, node, scope, owner)
            else:
                self._push(ast.iter_child_nodes(node), scope, owner)

    def _push(self, nodes: Iterable[ast.AST | None], scope: Scope, owner: int | None) -> None:
        """To be read next, in this order."""
        self._waiting.extend((node, scope, owner) for node in reversed(list(nodes)) if node)

    # Definitions

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope, owner: int | None) -> None:
        index = self._define(node, scope)
        owner = owner if index is None else index
        inner = Scope(scope)
        static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list)
        if scope.is_class and scope.index is not None and not static:
            for first in [*node.args.posonlyargs, *node.args.args][:1]:
                inner.bind(first.arg, Receiver(scope.index))
        self._decorators(node.decorator_list, scope, owner)
        self._arguments(node.args, inner, scope, owner)
        head = self._type_parameters(node, scope)
        self._annotation(node.returns, head, owner)
        for argument in _arguments(node.args):
            self._annotation(argument.annotation, head, owner)
        self._push(node.body, inner, owner)

    def _lambda(self, node: ast.Lambda, scope: Scope, owner: int | None) -> None:
        inner = Scope(scope)
        self._arguments(node.args, inner, scope, owner)
        self._push([node.body], inner, owner)

    def _arguments(self, arguments: ast.arguments, inner: Scope, scope: Scope, owner: int | None) -> None:
        for argument in _arguments(arguments):
            inner.bind(argument.arg, VARIABLE)
        self._push([*arguments.defaults, *arguments.kw_defaults], scope, owner)

    def _class(self, node: ast.ClassDef, scope: Scope, owner: int | None) -> None:
        index = self._define(node, scope)
        owner = owner if index is None else index
        inner = Scope(scope, index=index, is_class=True)
        if index is not None:
            self.syntax.members.setdefault(index, {})
        self._decorators(node.decorator_list, scope, owner)
        head = self._type_parameters(node, scope)
        for base in node.bases:
            self._base(base, head, owner)
        self._push((keyword.value for keyword in node.keywords), head, owner)
        for part in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.syntax.heads.update((place_of(one), owner) for one in ast.walk(part) if isinstance(one, ast.expr))
        self._push(node.body, inner, owner)

    def _define(self, node: _DefinitionNode, scope: Scope) -> int | None:
        index = self._indexes.get(node)
        scope.bind(node.name, Defined(node.lineno, index))
        if scope.index is not None and index is not None:
            self.syntax.members[scope.index][node.name] = index
        return index

    def _type_parameters(self, node: ast.AST, scope: Scope) -> Scope:
        """The scope of `[T]` behind the name of a definition."""
        names = [parameter.name for parameter in getattr(node, "type_params", ())]
        inner = Scope(scope) if names else scope
        for name in names:
            inner.bind(name, VARIABLE)
        return inner

    def _decorators(self, decorators: list[ast.expr], scope: Scope, owner: int | None) -> None:
        for decorator in decorators:
            self._mention_or_push(Role.DECORATOR, decorator, scope, owner)

    def _base(self, base: ast.expr, scope: Scope, owner: int | None) -> None:
        if isinstance(base, ast.Subscript):  # Generic[T], Repository[Order]
            self._annotation(base.slice, scope, owner)
            base = base.value
        self._mention_or_push(Role.BASE, base, scope, owner)

    # Imports

    def _import(self, node: ast.Import, scope: Scope, _: int | None) -> None:
        for alias in node.names:
            self.syntax.imports.append(Import(Imported(alias.lineno, alias.name), alias.asname or alias.name))
            bound = alias.name if alias.asname else alias.name.partition(".")[0]
            scope.bind(alias.asname or bound, Imported(alias.lineno, bound))

    def _import_from(self, node: ast.ImportFrom, scope: Scope, _: int | None) -> None:
        for alias in node.names:
            what = Imported(alias.lineno, node.module or "", node.level, alias.name)
            self.syntax.imports.append(Import(what, alias.asname or alias.name))
            if alias.name != "*":
                scope.bind(alias.asname or alias.name, what)

    # Mentions

    def _name(self, node: ast.Name, scope: Scope, owner: int | None) -> None:
        if isinstance(node.ctx, ast.Load):
            self._mention(Role.VALUE, (node.id,), node, scope, owner)
        else:
            scope.bind(node.id, VARIABLE)

    def _attribute(self, node: ast.Attribute, scope: Scope, owner: int | None) -> None:
        whole: ast.expr = node if isinstance(node.ctx, ast.Load) else node.value
        self._mention_or_push(Role.VALUE, whole, scope, owner)

    def _call(self, node: ast.Call, scope: Scope, owner: int | None) -> None:
        path = path_of(node.func)
        if path:
            self._mention(Role.CALLED, path, node, scope, owner)
        else:
            self._push([node.func], scope, owner)
        self._push([*node.args, *node.keywords], scope, owner)

    def _raise(self, node: ast.Raise, scope: Scope, owner: int | None) -> None:
        if node.exc:
            self._mention_or_push(Role.RAISED, node.exc, scope, owner)
        self._push([node.cause], scope, owner)

    def _mention_or_push(self, role: Role, node: ast.expr, scope: Scope, owner: int | None) -> None:
        path = path_of(node)
        if path:
            self._mention(role, path, node, scope, owner)
        elif isinstance(node, ast.Attribute):
            self._push([node.value], scope, owner)
        else:
            self._push([node], scope, owner)

    def _mention(self, role: Role, path: tuple[str, ...], node: ast.expr, scope: Scope, owner: int | None) -> None:
        mention = Mention(role, owner, path, node.lineno, place_of(node), scope)
        self.syntax.mentions.append(mention)
        if role in {Role.BASE, Role.RAISED}:
            self.syntax.not_uses.add(mention.place)

    def _annotation(self, node: ast.expr | None, scope: Scope, owner: int | None) -> None:
        """Text in an annotation is a name, or more, that Python reads later."""
        self._push([node], scope, owner)
        for line, text in _texts(node):
            try:
                parsed = ast.parse(text.strip(), mode="eval")
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            for one in ast.walk(parsed):
                if isinstance(one, ast.expr):
                    one.lineno = one.end_lineno = line
                    one.col_offset = one.end_col_offset = -1
            self._push([parsed.body], scope, owner)

    # Other bindings

    def _assign(self, node: ast.Assign, scope: Scope, owner: int | None) -> None:
        path = path_of(node.value)
        match node.targets:
            case [ast.Name(id=name)] if path and path[0] != name:
                scope.bind(name, Alias(path, scope))
                self._push([node.value], scope, owner)
            case targets:
                self._push([node.value, *targets], scope, owner)

    def _annotated(self, node: ast.AnnAssign, scope: Scope, owner: int | None) -> None:
        self._annotation(node.annotation, scope, owner)
        self._push([node.value, node.target], scope, owner)

    def _global(self, node: ast.Global, scope: Scope, _: int | None) -> None:
        scope.of_module.update(node.names)

    def _binds_name(self, node: ast.AST, scope: Scope, owner: int | None) -> None:
        name = getattr(node, "name", None) or getattr(node, "rest", None)
        if name:
            scope.bind(name, VARIABLE)
        self._push(ast.iter_child_nodes(node), scope, owner)

    def _comprehension(self, node: ast.AST, scope: Scope, owner: int | None) -> None:
        self._push(ast.iter_child_nodes(node), Scope(scope), owner)

    _handlers: ClassVar[dict[type[ast.AST], Callable[..., None]]] = {
        ast.FunctionDef: _function,
        ast.AsyncFunctionDef: _function,
        ast.Lambda: _lambda,
        ast.ClassDef: _class,
        ast.Import: _import,
        ast.ImportFrom: _import_from,
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.Call: _call,
        ast.Raise: _raise,
        ast.Assign: _assign,
        ast.AnnAssign: _annotated,
        ast.Global: _global,
        ast.ExceptHandler: _binds_name,
        ast.MatchAs: _binds_name,
        ast.MatchStar: _binds_name,
        ast.MatchMapping: _binds_name,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.GeneratorExp: _comprehension,
    }


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [*named, *(one for one in (arguments.vararg, arguments.kwarg) if one)]


def _texts(node: ast.expr | None) -> Iterator[tuple[int, str]]:
    """The texts of an annotation that are names of types."""
    waiting: list[ast.AST] = [node] if node else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.lineno, one.value
        elif not (isinstance(one, ast.Subscript) and path_of(one.value)[-1:] == ("Literal",)):
            waiting.extend(ast.iter_child_nodes(one))
