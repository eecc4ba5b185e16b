"""A key changes with the material of its thing and of all below it, and with nothing else."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from codestory_summarizer.keys import MAX_SHARED_CYCLE, Material, chain, made_by_rules, own
from codestory_summarizer.order import components

Graph = list[list[int]]


def keys(graph: Graph, texts: list[str], identity: str = "model") -> list[str]:
    materials = [
        Material(
            identity, own(text), seen=f"def f{at}()", dependencies=[("calls", "function", "f", b) for b in graph[at]]
        )
        for at, text in enumerate(texts)
    ]
    return chain(materials, components(graph))


def above(graph: Graph, item: int) -> set[int]:
    """It, and whatever depends on it, directly or not."""
    found = {item}
    while more := {at for at, below in enumerate(graph) if found & {*below}} - found:
        found |= more
    return found


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 10))
    below = st.lists(st.integers(0, size - 1), max_size=4, unique=True)
    found = draw(st.lists(below, min_size=size, max_size=size))
    return [[other for other in others if other != at] for at, others in enumerate(found)]


@settings(max_examples=50)
@given(graphs(), st.data())
def test_an_edit_changes_its_own_key_and_those_above_it(graph: Graph, data: st.DataObject) -> None:
    texts = [f"text {at}" for at in range(len(graph))]
    edited = data.draw(st.integers(0, len(graph) - 1))
    before = keys(graph, texts)

    texts[edited] = "another text"

    after = keys(graph, texts)
    assert {at for at, key in enumerate(after) if key != before[at]} == above(graph, edited)


@settings(max_examples=50)
@given(graphs(), st.data())
def test_where_things_lie_in_the_list_changes_no_key(graph: Graph, data: st.DataObject) -> None:
    texts = [f"text {at}" for at in range(len(graph))]
    order = data.draw(st.permutations(range(len(graph))))
    place = {at: number for number, at in enumerate(order)}
    turned = [[place[below] for below in graph[at]] for at in order]
    materials = [
        Material("model", own(texts[at]), dependencies=[("calls", "function", texts[b], place[b]) for b in graph[at]])
        for at in order
    ]
    plain = [
        Material("model", own(texts[at]), dependencies=[("calls", "function", texts[b], b) for b in graph[at]])
        for at in range(len(graph))
    ]

    assert sorted(chain(materials, components(turned))) == sorted(chain(plain, components(graph)))


def test_equal_material_has_one_key() -> None:
    first, second, *_ = keys([[], [], [0], [1]], ["same", "same", "above", "above"])

    assert first == second


def test_provider_model_and_prompt_are_part_of_the_key() -> None:
    assert keys([[]], ["text"], "openai:a") != keys([[]], ["text"], "openai:b")


def test_the_relation_and_the_name_of_what_is_below_are_part_of_the_key() -> None:
    below, one = Material("m", "0"), Material("m", "1", dependencies=[("calls", "function", "f", 0)])
    others = [
        replace(one, dependencies=[dependency])
        for dependency in [("uses", "function", "f", 0), ("calls", "class", "f", 0), ("calls", "function", "g", 0)]
    ]

    found = {chain([below, material], [[0], [1]])[1] for material in [one, *others]}

    assert len(found) == 4


def test_of_a_cycle_too_big_to_share_its_material_each_key_goes_by_what_is_seen_of_the_others() -> None:
    size = MAX_SHARED_CYCLE + 1
    ring = [[(at + 1) % size] for at in range(size)]
    texts = [f"text {at}" for at in range(size)]
    before = keys(ring, texts)

    texts[7] = "another text"

    after = keys(ring, texts)
    assert [at for at, key in enumerate(after) if key != before[at]] == [7]


def test_texts_do_not_run_into_each_other() -> None:
    assert len({own("ab", "c"), own("a", "bc"), own("abc"), own("abc", "")}) == 4
    assert made_by_rules("key", "text") != made_by_rules("key", "other text")
