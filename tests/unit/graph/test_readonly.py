"""Which queries only read."""

import pytest

from codestory.graph import QueryRefused
from codestory.graph.readonly import refuse_writes


@pytest.mark.parametrize(
    "query",
    [
        "MATCH (n) RETURN n",
        "MATCH (n:File {path: 'CREATE (x)'}) RETURN n.set, n.`delete`",
        'MATCH (n) WHERE n.name = "DETACH DELETE" RETURN n // DELETE n',
        "MATCH (n) /* CREATE */ RETURN {set: 1, merge: n.delete} AS m",
        "MATCH (n:Set)-[:DELETE]->(m) WHERE n.x = $create RETURN `set`",
        "CALL db.labels() YIELD label RETURN label",
        "call { MATCH (n) RETURN n } RETURN n",
        "MATCH (n) CALL (n) { MATCH (n)--(m) RETURN m } RETURN m",
        "CALL db.index.fulltext.queryNodes('x', 'y') YIELD node RETURN node",
        "SHOW INDEXES",
        "EXPLAIN MATCH (n) RETURN n",
        "RETURN 'it''s', 'a\\'b', offset, settings",
    ],
)
def test_a_query_that_reads_is_let_through(query: str) -> None:
    refuse_writes(query)


@pytest.mark.parametrize(
    "query",
    [
        "CREATE (n:File {id: 'x'})",
        "match (n) detach\ndelete n",
        "MATCH (n) SET n.x = 1",
        "MATCH (n) SET n:Label",
        "MATCH (n) SET /* x */ n += {}",
        "MATCH (n) REMOVE n.x",
        "MERGE(n:File {id: 'x'})",
        "INSERT (n:File)",
        "FOREACH (x IN [1] | CREATE (n))",
        "LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row",
        "DROP INDEX x",
        "CREATE CONSTRAINT x FOR (n:L) REQUIRE n.id IS UNIQUE",
        "CALL { MATCH (n) RETURN n } IN TRANSACTIONS",
        "CALL apoc.create.node(['L'], {})",
        "CALL db.createLabel('x')",
        "CALL db.labels.x()",
        "CALL `apoc`.create.node(['L'], {})",
        "RETURN 'a' // x\nCREATE (n)",
        "RETURN 'a\\\\' CREATE (n) RETURN 'b'",
        'RETURN "\'" CREATE (n) RETURN "\'"',
        "RETURN `a``` CREATE (n) RETURN `'`",
        "\\u0043REATE (n)",
        "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'",
        "TERMINATE TRANSACTIONS 'x'",
    ],
)
def test_a_query_that_could_write_is_refused(query: str) -> None:
    with pytest.raises(QueryRefused):
        refuse_writes(query)
