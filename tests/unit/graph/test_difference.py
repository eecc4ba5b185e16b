"""What must change so that the graph holds what an owner says."""

import random
from collections.abc import Iterator

import pytest

from codestory.graph import Node, Relationship, Shrinks
from codestory.graph.batches import Room, by_label
from codestory.graph.content import Content, End, Key
from codestory.graph.difference import UNFINISHED, Present, difference, edits, group_sources, refuse_shrink

ROOT = ("Repository", "r")


@pytest.fixture
def content() -> Iterator[Content]:
    with Content(("Repository", "File"), 1 << 20) as content:
        yield content


def test_what_is_there_already_is_no_difference(content: Content) -> None:
    content.add_node(Node(*ROOT, {"name": "r"}))
    content.add_node(Node("File", "a", {"size": 1}))
    content.add_relationship(Relationship("CONTAINS", *ROOT, "File", "a"))

    assert not difference(content, _there(content), ROOT)


def test_nodes_are_new_changed_or_dropped(content: Content) -> None:
    for file in ("same", "other", "new", "placeholder"):
        content.add_node(Node("File", file, {"size": 1}))
    present = _there(content)
    del present.nodes["File", "new"]
    present.nodes["File", "other"] = "another hash"
    present.nodes["File", "placeholder"] = None
    present.nodes["File", "old"] = "some hash"
    present.nodes["File", "old placeholder"] = None

    change = difference(content, present, ROOT)

    assert change.new == [("File", "new")]
    assert change.changed == [("File", "other"), ("File", "placeholder")]
    assert change.dropped == [("File", "old")]


def test_the_repository_is_never_new_since_every_writer_enters_itself_on_it(content: Content) -> None:
    content.add_node(Node(*ROOT))

    change = difference(content, Present({}, {}), ROOT)

    assert (change.new, change.changed) == ([], [ROOT])


def test_sources_differ_when_they_are_new_gone_changed_or_unfinished(content: Content) -> None:
    for source in ("same", "new", "changed", "unfinished"):
        content.add_relationship(Relationship("USES", "File", source, "File", "x"))
    present = _there(content)
    del present.marks["File", "new"]
    present.marks["File", "changed"] = "1:another"
    present.marks["File", "unfinished"] = UNFINISHED
    present.marks["File", "gone"] = "3:whatever"

    change = difference(content, present, ROOT)

    assert [source for _, source in change.sources] == ["changed", "gone", "new", "unfinished"]


def test_edits_lead_from_what_is_there_to_what_is_wanted(content: Content) -> None:
    for end, lines in (("same", 1), ("changed", 2), ("new", 3)):
        content.add_relationship(Relationship("USES", "File", "a", "File", end, {"lines": [lines]}))
    source = ("File", "a")
    there: dict[Key, dict[End, str]] = {
        source: {("USES", "File", "old"): "some hash", ("USES", "File", "changed"): "?"}
    }
    _, same, _ = content.properties(content.sources[source].edges["USES", "File", "same"])
    there[source]["USES", "File", "same"] = same

    found = {edit.end[2]: edit for edit in edits([source], content, there, "step")}

    assert {end: edit.what for end, edit in found.items()} == {"changed": "change", "new": "create", "old": "delete"}
    assert found["new"].properties["owner"] == "step"
    assert found["new"].properties["lines"] == [3]


def test_groups_have_one_label_and_fit_a_transaction_but_for_a_bigger_source(content: Content) -> None:
    rng = random.Random(1)
    sources = [(label, f"{label}{number}") for label in ("Directory", "File") for number in range(40)]
    for label, source in sources:
        for end in range(rng.choice([0, 1, 5, 30])):
            content.add_relationship(Relationship("USES", label, source, "File", str(end)))

    groups = list(group_sources(sources, content, 20))

    assert [source for group in groups for source in group] == sources
    for group in groups:
        assert len({label for label, _ in group}) == 1
        assert len(group) == 1 or sum(1 + _degree(content, source) for source in group) <= 20


def test_what_shrinks_too_far_is_refused_with_what_to_do(content: Content) -> None:
    present = Present({("File", str(number)): "hash" for number in range(100)}, {})
    for number in range(10):
        content.add_node(Node("File", str(number)))

    refuse_shrink(content, present, 0.9, "filesystem")
    with pytest.raises(Shrinks, match=r"filesystem would leave 10 of 100 nodes.*CODESTORY_GRAPH_SHRINK_LIMIT=1"):
        refuse_shrink(content, present, 0.89, "filesystem")


def test_little_may_vanish_and_placeholders_and_half_written_sources_do_not_count(content: Content) -> None:
    nodes: dict[Key, str | None] = {("File", str(number)): "hash" if number < 19 else None for number in range(100)}
    marks = {("File", "a"): "19:hash", ("File", "b"): UNFINISHED}

    refuse_shrink(content, Present(nodes, marks), 0, "filesystem")


def test_parts_hold_so_many_rows_of_so_many_bytes_and_a_bigger_row_goes_alone() -> None:
    room = Room(rows=3, bytes=10)

    assert list(room.parts([1, 1, 1, 1, 9, 5, 20, 2], lambda size: size)) == [[1, 1, 1], [1, 9], [5], [20], [2]]
    assert list(room.parts([], int)) == []


def test_keys_are_taken_label_by_label() -> None:
    assert list(by_label([("A", "1"), ("A", "2"), ("B", "1")])) == [("A", ["1", "2"]), ("B", ["1"])]


def _there(content: Content) -> Present:
    nodes: dict[Key, str | None] = {key: node.hash for key, node in content.nodes.items()}
    return Present(nodes, {key: source.mark for key, source in content.sources.items()})


def _degree(content: Content, source: Key) -> int:
    return len(content.sources[source].edges) if source in content.sources else 0
