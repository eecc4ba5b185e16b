"""How definitions and references become rows."""

from typing import Any

import pytest

from codestory.graph import Label, node_id
from codestory.testing_secrets import corpus
from codestory_blarify.definitions import Definition
from codestory_blarify.references import External, Reference
from codestory_blarify.rows import MOST_LINES, Rows
from codestory_blarify.shadow import Source

FILES = {"a.py": Source("a.py", "Python"), "_renamed/f1.py": Source("caf\\xe9.py", "Python")}


def definition(name: str, **changes: Any) -> Definition:
    given: dict[str, Any] = {
        "label": "Function",
        "kind": "function",
        "path": "a.py",
        "name": name.rpartition(".")[2],
        "qualified_name": name,
        "ordinal": 0,
        "start_line": 3,
        "end_line": 4,
        "name_line": 3,
        "name_column": 4,
        "language": "Python",
        "level": 2,
        "sha256": "0" * 64,
        "signature": "def f()",
    }
    return Definition(**{**given, **changes})


def test_a_definition_is_a_node_with_what_is_known_of_it() -> None:
    rows = Rows("repo", FILES, [definition("A.f", label="Method", ordinal=1, docstring="Does.", source="def f(): ...")])

    [node] = rows.nodes({"a.py": "pkg.a"})

    assert (node.label, node.id) == ("Method", node_id("repo", "Method", "a.py", "A.f", 1))
    assert node.properties == {
        "name": "f",
        "qualified_name": "A.f",
        "module": "pkg.a",
        "path": "a.py",
        "kind": "function",
        "language": "Python",
        "level": 2,
        "start_line": 3,
        "end_line": 4,
        "signature": "def f()",
        "docstring": "Does.",
        "sha256": "0" * 64,
        "source": "def f(): ...",
    }


def test_secrets_do_not_reach_a_node() -> None:
    secret = next(secret.value for secret in corpus() if secret.kind == "github_classic")
    text = f'def login(token: str = "{secret}"): ...'
    rows = Rows("repo", FILES, [definition("login", signature=text, docstring=f"Uses {secret}.", source=text)])

    [node] = rows.nodes({})

    assert secret not in str(node.properties)
    assert node.properties["docstring"] == "Uses [REDACTED:github_token]."
    assert rows.redacted == {"github_token": 3}


def test_what_is_not_known_is_absent() -> None:
    [node] = Rows("repo", FILES, [definition("f", signature="")]).nodes({})

    absent = {name for name, value in node.properties.items() if value is None}
    assert absent == {"module", "signature", "docstring", "source"}


def test_a_file_under_another_name_in_the_copy_has_its_own_in_the_graph() -> None:
    rows = Rows("repo", FILES, [definition("f", path="_renamed/f1.py")])
    rows.add([Reference("CALLS", "_renamed/f1.py", 0, 9)], "pyrefly")

    [node] = rows.nodes({"_renamed/f1.py": "odd"})
    [call] = rows.relationships()

    assert (node.properties["path"], node.properties["module"]) == ("caf\\xe9.py", "odd")
    assert node.id == node_id("repo", "Function", "caf\\xe9.py", "f")
    assert (call.source_label, call.source) == ("File", node_id("repo", "File", "caf\\xe9.py"))


def test_a_scope_contains_what_is_defined_in_it() -> None:
    rows = Rows("repo", FILES, [definition("A", label="Class"), definition("A.f", label="Method", parent=0)])

    [row] = rows.relationships()

    ends = (node_id("repo", "Class", "a.py", "A"), node_id("repo", "Method", "a.py", "A.f"))
    assert (row.type, row.source_label, row.target_label) == ("CONTAINS", "Class", "Method")
    assert (row.source, row.target) == ends


def test_all_mentions_of_one_kind_are_one_relationship_with_their_lines() -> None:
    rows = Rows("repo", FILES, [definition("f"), definition("g")])
    rows.add([Reference("CALLS", 0, 1, 9), Reference("CALLS", 0, 1, 4), Reference("CALLS", 0, 1, 9)], "pyrefly")
    rows.add([Reference("USES", 0, 1, 5)], "pyrefly")

    calls, uses = rows.relationships()

    assert (calls.type, calls.properties["lines"], calls.properties["resolved_by"]) == ("CALLS", [4, 9], "pyrefly")
    assert (uses.type, uses.properties["lines"]) == ("USES", [5])
    assert rows.references == {"Python": {"CALLS": 1, "USES": 1}}


def test_very_many_lines_are_cut_and_counted() -> None:
    rows = Rows("repo", FILES, [definition("f")])
    rows.add([Reference("CALLS", 0, 0, line) for line in range(1, MOST_LINES + 11)], "pyrefly")

    [calls] = rows.relationships()

    assert calls.properties["lines"] == list(range(1, MOST_LINES + 1))
    assert calls.properties["lines_left_out"] == 10


@pytest.mark.parametrize(
    ("ways", "said"), [(["", "syntax"], "pyrefly"), (["syntax", ""], "pyrefly"), (["syntax"], "syntax")]
)
def test_the_engines_own_answer_says_how_a_target_was_found(ways: list[str], said: str) -> None:
    rows = Rows("repo", FILES, [definition("f")])
    rows.add([Reference("USES", "a.py", 0, 1, resolved_by=way) for way in ways], "pyrefly")

    [row] = rows.relationships()

    assert row.properties["resolved_by"] == said


def test_an_import_has_the_names_it_gives_and_may_lead_outside() -> None:
    os = External("os.path")
    rows = Rows("repo", FILES, [])
    rows.add([Reference("IMPORTS", "a.py", os, 1, "p"), Reference("IMPORTS", "a.py", os, 2, "join")], "pyrefly")

    [node], [row] = rows.nodes({}), rows.relationships()

    assert (node.label, node.properties["name"]) == (Label.EXTERNAL, "os.path")
    assert (row.target_label, row.target, row.properties["names"]) == ("External", node.id, ["join", "p"])
