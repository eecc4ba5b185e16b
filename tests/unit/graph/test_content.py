"""What a step may say, and how it is compared."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestory.graph import InvalidContent, Label, Node, Relationship, node_id
from codestory.graph.content import RESERVED_ON_NODES, Content, canonical, hash_of

MEMORY = 1 << 20

scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=())),
)
lists = st.one_of(st.lists(st.text()), st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.booleans()))
properties = st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), st.one_of(scalars, lists, st.none()))


@given(properties)
def test_any_properties_become_one_line_that_can_be_sent_and_says_the_same_again(given_: dict[str, object]) -> None:
    text = canonical(given_)  # pyright: ignore[reportArgumentType] - hypothesis gives wider types

    sent = json.loads(text)
    assert "\n" not in text
    assert text.isascii()
    json.dumps(sent, ensure_ascii=False).encode("utf-8")
    assert canonical(sent) == text
    assert set(sent) == {key for key, value in given_.items() if value is not None}


def test_the_order_of_keys_and_absent_values_change_nothing() -> None:
    assert canonical({"a": 1, "b": "x", "c": None}) == canonical({"b": "x", "a": 1})


def test_numbers_that_are_equal_but_stored_differently_are_told_apart() -> None:
    assert len({canonical({"a": value}) for value in (1, 1.0, True, "1")}) == 4


def test_half_a_surrogate_pair_becomes_visible_text() -> None:
    assert json.loads(canonical({"name": "caf\udce9"})) == {"name": "caf\\udce9"}


def test_a_list_of_integers_and_floats_is_one_of_floats_as_neo4j_makes_it() -> None:
    assert canonical({"a": [1, 2.5]}) == '{"a": [1.0, 2.5]}'


@pytest.mark.parametrize(
    "bad",
    [
        {"a": math.nan},
        {"a": math.inf},
        {"a": 2**63},
        {"a": {"b": 1}},
        {"a": [1, "x"]},
        {"a": [True, 1]},
        {"a": [["x"]]},
        {"a": [None]},
        {"_hash": "x"},
        {"id": "x"},
        {"writing_steps": ["x"]},
        {"a b": 1},
        {"": 1},
    ],
)
def test_what_no_graph_can_hold_or_the_writer_needs_itself_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidContent):
        canonical(bad, RESERVED_ON_NODES)  # pyright: ignore[reportArgumentType] - that is what is refused


def test_a_node_of_a_label_that_the_step_does_not_own_is_refused() -> None:
    with Content((Label.FILE,), MEMORY) as content, pytest.raises(InvalidContent, match="does not own Section"):
        content.add_node(Node(Label.SECTION, "s"))


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800"])
def test_an_id_that_cannot_be_sent_is_refused(bad: str) -> None:
    with Content((Label.FILE,), MEMORY) as content, pytest.raises(InvalidContent, match="id of a node"):
        content.add_node(Node(Label.FILE, bad))


@pytest.mark.parametrize("bad", ["file", "File) DETACH DELETE (n", "_Fence", "", "Fil\xe9"])
def test_a_label_that_is_no_plain_name_never_reaches_a_query(bad: str) -> None:
    with Content((), MEMORY) as content, pytest.raises(InvalidContent, match="label of a node"):
        content.add_relationship(Relationship("USES", bad, "a", "File", "b"))


@pytest.mark.parametrize("bad", ["uses", "USES]->() DELETE (n", ""])
def test_a_type_that_is_no_plain_name_never_reaches_a_query(bad: str) -> None:
    with Content((), MEMORY) as content, pytest.raises(InvalidContent, match="type of a relationship"):
        content.add_relationship(Relationship(bad, "File", "a", "File", "b"))


def test_the_same_row_twice_is_one_and_another_content_for_it_is_refused() -> None:
    edge = Relationship("USES", "File", "a", "File", "b", {"lines": [1]})
    with Content((Label.FILE,), MEMORY) as content:
        for _ in range(2):
            content.add_node(Node(Label.FILE, "a", {"size": 1}))
            content.add_relationship(edge)

        assert (len(content.nodes), content.relationship_count) == (1, 1)
        assert content.sources["File", "a"].mark.startswith("1:")
        with pytest.raises(InvalidContent, match="two different contents for File a"):
            content.add_node(Node(Label.FILE, "a", {"size": 2}))
        with pytest.raises(InvalidContent, match="two different contents for USES"):
            content.add_relationship(Relationship("USES", "File", "a", "File", "b", {"lines": [2]}))


def test_the_mark_of_a_source_depends_on_its_relationships_and_not_on_their_order() -> None:
    edges = [Relationship("USES", "File", "a", "File", end, {"lines": [n]}) for n, end in enumerate("bcd")]

    marks = {_mark(edges), _mark(edges[::-1])}

    assert len(marks) == 1
    assert _mark(edges[:2]) not in marks
    assert _mark([*edges[:2], Relationship("USES", "File", "a", "File", "d", {"lines": [9]})]) not in marks
    assert _mark([*edges[:2], Relationship("CALLS", "File", "a", "File", "d", {"lines": [2]})]) not in marks


@pytest.mark.parametrize("memory", [1, MEMORY])
def test_properties_come_back_as_they_were_put_in_memory_and_on_disk(memory: int) -> None:
    put = [{"n": number, "text": "ä\n" * number} for number in range(50)]
    with Content((Label.FILE,), memory) as content:
        for number, each in enumerate(put):
            content.add_node(Node(Label.FILE, str(number), each))
            content.add_node(Node(Label.FILE, str(number // 2), put[number // 2]))

        for number, each in reversed(list(enumerate(put))):
            node = content.nodes["File", str(number)]
            properties, hash_, size = content.properties(node.at)
            assert (properties, hash_) == (each, node.hash)
            assert size == len(canonical(each))


def test_an_id_is_the_same_everywhere_and_its_parts_cannot_be_shifted() -> None:
    assert node_id("r", "Function", "a.py", "f") == "5a8be57db1fe3062bbd4914e807db9b0"
    shifted = {node_id("r", "F", "ab", "c"), node_id("r", "F", "a", "bc"), node_id("r", "Fa", "b", "c")}
    assert len(shifted | {node_id("r", "F", "ab", "c", 1)}) == 4


def test_a_hash_is_that_of_the_text_or_of_the_json() -> None:
    assert hash_of('["a"]') == hash_of(["a"])


def _mark(edges: list[Relationship]) -> str:
    with Content((), MEMORY) as content:
        for edge in edges:
            content.add_relationship(edge)
        [source] = content.sources.values()
        return source.mark
