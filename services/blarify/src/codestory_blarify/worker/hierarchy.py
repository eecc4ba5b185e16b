"""Blarify's hierarchy, file by file: each is printed and forgotten. A bad file is named, and the next one is read.

What is a definition, and its kind, name, body and level, are Blarify's to say. Ours are the order of the files, a way
through the syntax tree that no depth of it ends, and that no text and no graph are kept: Blarify's graph has one node
for all definitions that share a name in one scope."""

# Blarify is not in the environment that the types are checked in.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import hashlib
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from codestory_blarify.worker.described import SyntaxNode, docstring, signature

warnings.filterwarnings("ignore")  # protobuf speaks of its age
from blarify.code_hierarchy import TreeSitterHelper  # noqa: E402
from blarify.code_hierarchy.languages.language_definitions import IdentifierNodeNotFound  # noqa: E402
from blarify.graph.graph_environment import GraphEnvironment  # noqa: E402
from blarify.graph.node import NodeFactory, NodeLabels  # noqa: E402
from blarify.project_file_explorer import File, Folder, ProjectFilesIterator  # noqa: E402
from blarify.project_graph_creator import ProjectGraphCreator  # noqa: E402

#: Definitions within more scopes than this are left out: nobody wrote them, and each costs the text of all around it.
MOST_SCOPES = 100
#: Of a name; a computed one can be any expression.
NAME_CHARS = 500
#: Of a definition's own text, where that is wanted.
SOURCE_CHARS = 100_000


class Files(ProjectFilesIterator):
    """Those of the list, in its order. Blarify's own looks at the folder, follows links and opens what it finds."""

    def __init__(self, root: str, paths: list[str]) -> None:
        super().__init__(root_path=root)
        self._paths = paths

    def __iter__(self) -> Iterator[Any]:
        for folder, paths in groupby(self._paths, key=os.path.dirname):
            place = Path(self.root_path, folder)
            level = self.get_path_level_relative_to_root(str(place))
            files = [File(name=Path(path).name, root_path=str(place), level=level + 1) for path in paths]
            yield Folder(name=place.name, path=str(place), files=files, folders=[], level=level)


class Reader(TreeSitterHelper):
    """Of the files of one language."""

    def __init__(self, *, language_definitions: Any, graph_environment: Any) -> None:
        super().__init__(language_definitions, graph_environment)
        self.too_deep = 0

    def _traverse(self, tree_sitter_node: Any, context_stack: list[Any]) -> None:
        """As Blarify's own, in the same order, without recursion."""
        cursor, depth = tree_sitter_node.walk(), 0
        opened: list[int] = []  # depths of the definitions that are on the stack
        while True:
            node = cursor.node
            if node.is_named and self.language_definitions.should_create_node(node) and self._open(node, context_stack):
                opened.append(depth)
            if cursor.goto_first_child():
                depth += 1
                continue
            while True:
                if opened and opened[-1] == depth:
                    opened.pop()
                    context_stack.pop()
                if cursor.goto_next_sibling():
                    break
                if not cursor.goto_parent():
                    return
                depth -= 1

    def _open(self, syntax: Any, context_stack: list[Any]) -> bool:
        if len(context_stack) > MOST_SCOPES:
            self.too_deep += 1
            return False
        try:
            node = self._handle_definition_node(syntax, context_stack)
        except IdentifierNodeNotFound:  # what has no name is no definition of ours; what is in it may be
            return False
        if not node.name:
            return False  # the parser put a name there that is missing
        self.created_nodes.append(node)
        context_stack.append(node)
        return True

    def _handle_definition_node(self, tree_sitter_node: Any, context_stack: list[Any]) -> Any:
        """Without its text: each would hold that of all in it."""
        name, place = self._process_identifier_node(node=tree_sitter_node)
        parent = self.get_parent_node(context_stack)
        return NodeFactory.create_node_based_on_label(
            kind=self._get_label_from_node(tree_sitter_node),
            name=name,
            path=self.current_path,
            definition_range=place,
            node_range=self._get_reference_from_node(tree_sitter_node),
            code_text="",
            body_node=self._try_process_body_node_snippet(tree_sitter_node),
            level=parent.level + 1,
            parent=parent,
            tree_sitter_node=tree_sitter_node,
            graph_environment=self.graph_environment,
        )


class NoReferences:
    """Blarify asks for them while it reads the files. Engines find them."""

    def initialize_directory(self, file: Any) -> None:
        pass


class Hierarchy(ProjectGraphCreator):
    """Prints what it finds."""

    def __init__(self, root: str, paths: list[str], *, out: TextIO, seconds: float, source: bool) -> None:
        environment = GraphEnvironment("main", "0", root)
        super().__init__(root, NoReferences(), Files(root, paths), environment)
        self._out, self._seconds, self._source = out, seconds, source
        self._readers: dict[str, Reader] = {}

    def _get_tree_sitter_for_file_extension(self, file_extension: str) -> Reader:
        """One for all files: making one loads the grammar."""
        if file_extension not in self._readers:
            language = self._get_language_definition(file_extension=file_extension)
            self._readers[file_extension] = Reader(
                language_definitions=language, graph_environment=self.graph_environment
            )
        return self._readers[file_extension]

    def _process_file(self, file: Any, parent_folder: Any) -> None:
        # Not caught: a parser that does not come to its end is C, and hears no Python. The file is named by who reads.
        signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)
        path = os.path.relpath(file.path, self.root_path)
        told: dict[str, Any] = {"what": "file", "path": path}
        try:
            reader = self._get_tree_sitter_for_file_extension(file.extension)
            reader.too_deep = 0
            first, *found = self._create_file_nodes(file, parent_folder, reader)
            told |= self._print(path, first, found, reader.language_definitions.get_language_name())
            told["too_deep"] = reader.too_deep
        except Exception as error:  # noqa: BLE001  # whatever Blarify makes of one file, the others are to be read
            told["error"] = type(error).__name__
            sys.stderr.write(f"{path}: {error}"[:500] + "\n")
        self._say(told)

    def _print(self, path: str, file: Any, found: list[Any], language: str) -> dict[str, Any]:
        root = file._tree_sitter_node  # noqa: SLF001
        source = file.code_text.encode("utf-8")
        places = {id(node): place for place, node in enumerate(found)}
        for node in found:
            self._say(
                {"what": "definition", "path": path, "parent": places.get(id(node.parent))}
                | self._definition(node, source, language)
            )
        wrong = first_error(root) if root.has_error else None
        return {
            "definitions": len(found),
            "wrong_line": wrong,
            "lost": wrong is not None and not found and nothing_whole(root),
        }

    def _definition(self, node: Any, source: bytes, language: str) -> dict[str, Any]:
        syntax, body = node._tree_sitter_node, node.body_node  # noqa: SLF001
        start, end = node.node_range.range.start, node.node_range.range.end
        name, text = node.definition_range.range.start, source[syntax.start_byte : syntax.end_byte]
        in_class = node.parent.label == NodeLabels.CLASS and node.label == NodeLabels.FUNCTION
        said = {
            "kind": node.label.name.lower(),
            "name": " ".join(node.name.split())[:NAME_CHARS],
            "method": in_class or syntax.type == "method_declaration",
            "receiver": receiver(syntax) if language == "go" else "",
            "level": node.level,
            "start_line": start.line + 1,
            "end_line": end.line + (end.character > 0 or end.line == start.line),
            "name_line": name.line + 1,
            "name_column": name.character,
            "sha256": hashlib.sha256(text).hexdigest(),
            "signature": signature(syntax, body, source),
            "docstring": docstring(syntax, body, python=language == "python"),
        }
        return said | {"source": text.decode("utf-8", "ignore")[:SOURCE_CHARS]} if self._source else said

    def _say(self, said: dict[str, Any]) -> None:
        self._out.write(json.dumps(said) + "\n")
        if said["what"] == "file":
            self._out.flush()


def receiver(method: Any) -> str:
    """Go: the type that a method belongs to. `Server` of `func (s *Server[T]) Run()`."""
    parameters = method.child_by_field_name("receiver")
    pending = [parameters] if parameters else []
    while pending:
        node = pending.pop(0)
        if node.type == "type_identifier":
            return node.text.decode("utf-8")
        pending.extend(node.named_children)
    return ""


def first_error(root: SyntaxNode) -> int:
    """The line where the parser first lost its way."""
    node: Any = root
    while not (node.is_error or node.is_missing):
        below = next((child for child in node.children if child.has_error or child.is_missing), None)
        if below is None:
            break
        node = below
    return node.start_point.row + 1


def nothing_whole(root: Any) -> bool:
    return all(node.has_error or node.type.endswith("comment") for node in root.children)


def main(arguments: list[str]) -> None:
    tree, listed, seconds, source = arguments
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what else prints is no line of ours
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    paths = Path(listed).read_text(encoding="utf-8").splitlines()
    Hierarchy(tree, paths, out=out, seconds=float(seconds), source=source == "1").build_hierarchy_only()
    out.write('{"what": "end"}\n')
    out.close()
