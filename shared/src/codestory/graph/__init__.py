"""The graph: how it is reached, what may be in it, the one writer, and how it is read. Knows Bolt; knows no bus."""

from codestory.graph.budget import Budget
from codestory.graph.driver import connect, wait_ready
from codestory.graph.errors import (
    Fenced,
    GraphError,
    GraphUnavailable,
    InvalidContent,
    Miscount,
    QueryRefused,
    Shrinks,
    StaleBroker,
)
from codestory.graph.model import Fence, Label, Node, Property, Relationship, RelationshipType, node_id
from codestory.graph.settings import GraphSettings
from codestory.graph.writer import GraphWriter

__all__ = [
    "Budget",
    "Fence",
    "Fenced",
    "GraphError",
    "GraphSettings",
    "GraphUnavailable",
    "GraphWriter",
    "InvalidContent",
    "Label",
    "Miscount",
    "Node",
    "Property",
    "QueryRefused",
    "Relationship",
    "RelationshipType",
    "Shrinks",
    "StaleBroker",
    "connect",
    "node_id",
    "wait_ready",
]
