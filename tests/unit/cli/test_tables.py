"""What is in the graph is shown whole, and harmless."""

import io

import pytest
from rich.console import Console

from codestory.cli import tables
from codestory.graph.queries import FoundRepository, GraphStats

HOSTILE = "\x1b]0;owned\x07[red]\u202e\n"


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=60, markup=False, highlight=False, emoji=False)


def written(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_stats_count_nodes_relationships_and_what_is_only_named(screen: Console) -> None:
    counts = GraphStats(
        repository="r", nodes={"File": 1200, "Directory": 8}, relationships={"CONTAINS": 7}, placeholders={"Class": 2}
    )

    tables.stats(screen, FoundRepository(id="r", name="flask"), counts)

    assert [line.split() for line in written(screen).splitlines()] == [
        ["flask"],
        ["Nodes", "1,208"],
        ["File", "1,200"],
        ["Directory", "8"],
        ["Relationships", "7"],
        ["CONTAINS", "7"],
        ["Named,", "not", "written", "2"],
        ["Class", "2"],
    ]


def test_a_graph_that_is_being_written_says_by_whom(screen: Console) -> None:
    counts = GraphStats(repository="r", nodes={}, relationships={}, placeholders={}, writing_steps=("filesystem",))

    tables.stats(screen, FoundRepository(id="r", name="flask"), counts)

    assert "flask (not final: filesystem has not finished writing)" in written(screen)
    assert "nothing yet" in written(screen)


def test_rows_are_shown_whole(screen: Console) -> None:
    tables.rows(screen, [{"path": "x" * 100, "n": 3, "none": None, "list": ["é", 1]}])

    assert written(screen).count("x") == 100
    assert '["é", 1]' in written(screen)
    assert "null" in written(screen)


def test_no_rows_are_nothing(screen: Console) -> None:
    tables.rows(screen, [])

    assert written(screen) == ""


def test_hostile_text_is_shown_and_does_nothing(screen: Console) -> None:
    counts = GraphStats(
        repository="r",
        nodes={HOSTILE: 1},
        relationships={HOSTILE: 1},
        placeholders={HOSTILE: 1},
        writing_steps=(HOSTILE,),
    )

    tables.stats(screen, FoundRepository(id="r", name=HOSTILE), counts)
    tables.rows(screen, [{HOSTILE: HOSTILE, "b": {HOSTILE: [HOSTILE]}}])

    assert all(line.isprintable() for line in written(screen).splitlines())
    assert written(screen).count("owned") == 9
