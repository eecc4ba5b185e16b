"""What something depends on comes before it; what depends on each other is one."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from codestory_summarizer.order import Plan, components, loosened, only_seen

Graph = list[set[int]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 12))
    return draw(st.lists(st.sets(st.integers(0, size - 1), max_size=4), min_size=size, max_size=size))


def reached(graph: Graph, start: int) -> set[int]:
    """What it depends on, directly or not."""
    found: set[int] = set()
    todo = [*graph[start]]
    while todo:
        item = todo.pop()
        if item not in found:
            found.add(item)
            todo += graph[item]
    return found


@settings(max_examples=50)
@given(graphs())
def test_those_that_reach_each_other_are_one_component_behind_all_it_depends_on(graph: Graph) -> None:
    order = components(graph)

    place = {item: number for number, members in enumerate(order) for item in members}
    assert sorted(place) == list(range(len(graph)))
    for one in range(len(graph)):
        for other in reached(graph, one) - {one}:
            together = one in reached(graph, other)
            assert (place[one] == place[other]) == together
            assert place[other] <= place[one]


@settings(max_examples=50)
@given(graphs(), st.randoms(use_true_random=False))
def test_the_plan_hands_out_what_is_wanted_once_when_all_below_it_is_done(graph: Graph, chance: random.Random) -> None:
    order = components(graph)
    cycle = {item: members for members in order for item in members}
    wanted = {item for item in range(len(graph)) if chance.random() < 0.7}
    plan, taken, done = Plan(graph, order, wanted), list[int](), set[int]()

    while plan:
        while (item := plan.take()) is not None:
            assert (graph[item] & wanted) - {*cycle[item]} <= done
            taken.append(item)
        item = chance.choice([item for item in taken if item not in done])
        done.add(item)
        plan.done(item)

    assert sorted(taken) == sorted(wanted)


@settings(max_examples=50)
@given(graphs(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_a_loosened_cycle_falls_into_parts_behind_what_they_need_most(
    graph: Graph, chance: random.Random, limit: int
) -> None:
    strong = [{other: chance.randrange(3) for other in below} for below in graph]

    order = loosened(strong, limit)

    whole = {item: members for members in components(graph) for item in members}
    seen, top = only_seen(graph, order), max((how for below in strong for how in below.values()), default=0)
    assert sorted(item for members in order for item in members) == list(range(len(graph)))
    for members in order:
        assert {*members} <= {*whole[members[0]]}
        if len(members) > limit:
            strongest = [{other for other, how in below.items() if how == top and other in members} for below in strong]
            assert all(reached(strongest, item) >= {*members} for item in members)
    for item, others in seen.items():
        assert others <= {*whole[item]} & graph[item]


def test_a_cycle_small_enough_is_left_as_it_is() -> None:
    ring = [{1: 0}, {2: 1}, {0: 1}]

    assert loosened(ring, 3) == [[0, 1, 2]]
    assert loosened(ring, 2) == [[0], [2], [1]]


def test_the_same_graph_has_the_same_order_whatever_the_sets_say_first() -> None:
    graph = [{3, 1}, {2}, {1}, set[int](), {0, 3}]
    turned = [dict.fromkeys(sorted(below, reverse=True)) for below in graph]

    assert components(graph) == components(turned) == [[1, 2], [3], [0], [4]]


def test_a_chain_as_long_as_a_repository_is_big_needs_no_deep_stack() -> None:
    size = 20_000
    chain: Graph = [{number + 1} if number + 1 < size else set() for number in range(size)]
    ring: Graph = [{(number + 1) % size} for number in range(size)]

    assert components(chain) == [[number] for number in reversed(range(size))]
    assert components(ring) == [[*range(size)]]


def test_what_depends_on_itself_alone_waits_for_nothing() -> None:
    plan = Plan([{0}], components([{0}]), [0])

    assert plan.take() == 0
    assert plan.take() is None
