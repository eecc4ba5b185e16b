"""What can go wrong with the graph.

GraphError
├── GraphUnavailable   the server cannot be used now; later may work
├── Fenced             a later attempt writes here; stop
│   └── StaleBroker    a broker that was set up later is in use; stop
├── Shrinks            the new content looks like a mistake
├── Miscount           rows sent and rows written differ
├── InvalidContent     a row that no graph can hold; a mistake of the step
└── QueryRefused       a query that writes, or that the server does not understand
"""


class GraphError(Exception):
    """The graph could not be read or written."""


class GraphUnavailable(GraphError):
    """The graph server cannot be used now. Check that it runs, and its address, user name and password."""


class Fenced(GraphError):
    """A later attempt of this step has taken over. This one stopped and changed nothing more."""


class StaleBroker(Fenced):
    """The graph was last written through a message broker that was set up later than the one in use."""


class Shrinks(GraphError):
    """The new content is suspiciously smaller than what the graph holds, so nothing was written."""


class Miscount(GraphError):
    """The graph took in fewer rows than it was sent: something other than the steps changes it."""


class InvalidContent(GraphError):
    """A step gave a node or a relationship that the graph cannot hold."""


class QueryRefused(GraphError):
    """The query was not run. Only queries that read are, and only if the server understands them."""
