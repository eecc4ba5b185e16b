"""The stack's own servers, as the plan has them."""

from dataclasses import replace
from typing import TYPE_CHECKING, LiteralString

import neo4j
from neo4j.exceptions import DriverError, Neo4jError

from codestory.local import LocalSettings
from codestory.local.planning import new_plan

if TYPE_CHECKING:
    from conftest import Stand


def start_graph(stand: "Stand") -> None:
    plan = new_plan(stand.paths, None, LocalSettings(), ())
    stand.plan = replace(plan, processes=tuple(spec for spec in plan.processes if spec.name == "graph"))
    stand.relaunch()
    stand.until(lambda: asked(stand, "RETURN 1") == 1, "the graph answers")


def asked(stand: "Stand", query: LiteralString) -> int | None:
    """None while it does not answer: its port is open before its database is."""
    graph = stand.plan.graph
    secret = (stand.paths.secrets / "graph.password").read_text()
    try:
        with neo4j.GraphDatabase.driver(graph.uri, auth=(graph.user, secret), connection_timeout=5) as driver:
            return int(driver.execute_query(query, database_=graph.database).records[0][0])
    except (DriverError, Neo4jError):
        return None


def test_a_lost_graph_password_is_replaced_and_the_graph_is_kept(stand: "Stand") -> None:
    start_graph(stand)
    asked(stand, "CREATE (n:Kept {id: 7}) RETURN 1")
    stand.stop()
    (stand.paths.secrets / "graph.password").unlink()

    start_graph(stand)

    assert asked(stand, "MATCH (n:Kept) RETURN n.id") == 7
