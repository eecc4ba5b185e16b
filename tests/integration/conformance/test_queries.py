"""What the graph tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codestory.graph import GraphUnavailable, QueryRefused, connect, presence, queries, wait_ready
from codestory.graph.driver import reaching
from codestory.graph.fence import Transactions
from codestory.graph.model import Fence

if TYPE_CHECKING:
    from conftest import GraphUnderTest

    from codestory.graph import GraphSettings


async def test_stats_count_by_label_and_type_and_tell_placeholders_apart(graph: GraphUnderTest) -> None:
    file, section = ("File", graph.id("File", 0)), ("Section", graph.id("Section", 0))
    await graph.write("documentation_grapher", graph.says({section: {}}, {("DESCRIBES", *section, *file): {}}))

    stats = await queries.stats(graph.driver, graph.repository)

    assert stats.nodes == {"Section": 1}
    assert stats.placeholders == {"File": 1}
    assert stats.relationships == {"DESCRIBES": 1}
    assert stats.complete
    assert stats.writing_steps == ()


async def test_a_repository_that_a_killed_step_left_is_not_complete(graph: GraphUnderTest) -> None:
    await graph.write("filesystem", graph.says({("Repository", graph.repository): {"name": "r"}}))
    async with graph.driver.session(database=graph.settings.neo4j_database) as session:
        transaction = Transactions(session, f"{graph.repository}+blarify", Fence(1, 1), 60)
        await transaction(lambda tx: presence.enter(tx, graph.repository, "blarify"))

    stats = await queries.stats(graph.driver, graph.repository)

    assert not stats.complete
    assert stats.writing_steps == ("blarify",)
    await graph.write("blarify", graph.says())
    assert (await queries.stats(graph.driver, graph.repository)).complete


async def test_stats_of_a_repository_that_is_not_there_are_empty(graph: GraphUnderTest) -> None:
    stats = await queries.stats(graph.driver, graph.repository)

    assert not stats.complete
    assert stats.nodes == stats.relationships == stats.placeholders == {}


async def test_a_repository_is_found_by_its_id_its_name_and_its_url(graph: GraphUnderTest) -> None:
    name, url = f"name of {graph.repository}", f"https://example.org/{graph.repository}"
    node = graph.says({("Repository", graph.repository): {"name": name, "url": url}})
    await graph.write("filesystem", node, volatile={"ingested_at": "2026-01-01T00:00:00Z"})

    for key in (graph.repository, name, url):
        found = await queries.find_repository(graph.driver, key)

        assert found is not None
        assert (found.id, found.name, found.ingested_at) == (graph.repository, name, "2026-01-01T00:00:00Z")
    assert await queries.find_repository(graph.driver, "no such") is None
    assert graph.repository in [repository.id for repository in await queries.repositories(graph.driver)]


async def test_a_placeholder_of_a_repository_is_not_listed(graph: GraphUnderTest) -> None:
    root, section = ("Repository", graph.repository), ("Section", graph.id("Section", 0))
    await graph.write("documentation_grapher", graph.says({section: {}}, {("DOCUMENTED_BY", *root, *section): {}}))

    assert graph.repository not in [repository.id for repository in await queries.repositories(graph.driver)]


async def test_a_users_query_gives_values_that_json_has(graph: GraphUnderTest) -> None:
    file, section = ("File", graph.id("File", 0)), ("Section", graph.id("Section", 0))
    await graph.write("filesystem", graph.says({file: {"path": "a.py", "lines": 3}}))
    await graph.write(
        "documentation_grapher", graph.says({section: {}}, {("DESCRIBES", *section, *file): {"evidence": "path"}})
    )

    query = "MATCH path = (s:Section {repo: $repo})-[e]->(f) RETURN f, e, path, [f.lines] AS list, date($day) AS day"
    [row] = await queries.run_query(graph.driver, query, {"repo": graph.repository, "day": "2026-01-01"})

    assert row["f"]["labels"] == ["File"]
    assert row["f"]["path"] == "a.py"
    assert (row["e"]["type"], row["e"]["evidence"]) == ("DESCRIBES", "path")
    assert row["list"] == [3]
    assert row["day"] == "2026-01-01"
    assert len(row["path"]) == 2


async def test_a_users_query_that_writes_or_makes_no_sense_is_refused(graph: GraphUnderTest) -> None:
    with pytest.raises(QueryRefused, match="CREATE changes the graph"):
        await queries.run_query(graph.driver, "CREATE (n:File {id: 'x'})")
    with pytest.raises(QueryRefused, match="did not run"):
        await queries.run_query(graph.driver, "MATCH (n RETURN n")


async def test_a_wrong_password_is_told_as_such(settings: GraphSettings) -> None:
    # A user that does not exist: Neo4j locks one out whose password was wrong a few times.
    wrong = settings.model_copy(update={"neo4j_user": "nobody", "neo4j_password_file": None})

    async with connect(wrong) as driver:
        with pytest.raises(GraphUnavailable, match="refused the user name and password"):
            await wait_ready(driver, wrong, timeout=10)


async def test_a_database_that_does_not_exist_is_told_as_such(settings: GraphSettings) -> None:
    async with connect(settings) as driver:
        with pytest.raises(GraphUnavailable):
            await wait_ready(driver, settings.model_copy(update={"neo4j_database": "nosuch"}), timeout=0.1)


async def test_a_server_that_answers_is_ready(settings: GraphSettings) -> None:
    async with connect(settings) as driver:
        await wait_ready(driver, settings, timeout=10)

        with reaching():
            await driver.verify_connectivity()
