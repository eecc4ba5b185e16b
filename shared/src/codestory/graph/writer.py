"""The one writer: makes the graph hold exactly what one owner says of one repository, writing only the difference.

The graph is a function of the latest content of each owner, whatever the order of the writes: that makes an update
equal a rebuild. So a writer touches only its own nodes' properties and its own relationships. A node that relationships
name and whose owner has not written it, or no more, is a placeholder (`_missing`).
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from neo4j import AsyncDriver

from codestory.graph import schema
from codestory.graph.batches import Room
from codestory.graph.content import RESERVED_ON_NODES, Content, canonical, checked_id
from codestory.graph.driver import reaching, read
from codestory.graph.fence import Transactions
from codestory.graph.model import Fence, Label, Node, Property, Relationship, checked_label, checked_owner
from codestory.graph.replacement import Replacement, ReportProgress
from codestory.graph.settings import GraphSettings


class GraphWriter:
    """What one attempt of one step writes and reads of one repository."""

    def __init__(
        self,
        driver: AsyncDriver,
        settings: GraphSettings,
        *,
        repository: str,
        owner: str,
        fence: Fence,
        labels: tuple[str, ...] = (),
    ) -> None:
        self._driver, self._settings = driver, settings
        self._repository, self._owner = checked_id(repository), checked_owner(owner)
        self._fence = fence
        self._labels = tuple(checked_label(label) for label in labels)
        self._turn = asyncio.Lock()

    async def replace(
        self,
        nodes: Iterable[Node],
        relationships: Iterable[Relationship],
        *,
        volatile: Mapping[str, Property] | None = None,
        shrink_limit: float | None = None,
        progress: ReportProgress | None = None,
    ) -> dict[str, int]:
        """Make the graph hold these nodes and relationships, and no others, of this step and repository.

        Returns what was written, as counts; {} when the graph already held exactly this. Running it twice equals
        running it once, whatever was killed in between. `volatile` goes on the Repository node and is never compared.
        `shrink_limit`: the fraction that may vanish (else CODESTORY_GRAPH_SHRINK_LIMIT). `progress` is called after
        each transaction with (done, total) rows.

        Raises Fenced when a later attempt has begun, Shrinks, InvalidContent, Miscount, GraphUnavailable.
        """
        notes = json.loads(canonical(volatile or {}, RESERVED_ON_NODES))
        limit = self._settings.graph_shrink_limit if shrink_limit is None else shrink_limit
        async with self._turn:
            with reaching(), Content(self._labels, self._settings.graph_content_memory_bytes) as content:
                for node in nodes:
                    content.add_node(node)
                for relationship in relationships:
                    content.add_relationship(relationship)
                labels = await self._known_labels(content.labels)
                async with self._driver.session(database=self._settings.neo4j_database) as session:
                    key = f"{self._repository}+{self._owner}"
                    replacement = Replacement(
                        session=session,
                        transaction=Transactions(session, key, self._fence, self._settings.graph_transaction_seconds),
                        repository=self._repository,
                        owner=self._owner,
                        owned=self._labels,
                        labels=labels,
                        room=Room(self._settings.graph_batch_rows, self._settings.graph_batch_bytes),
                        content=content,
                        volatile=notes,
                        report=progress or (lambda _done, _total: None),
                    )
                    return await replacement.run(limit)

    async def read(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query that reads; `$repo` is this repository's id. Placeholders have `_missing`: filter them."""
        with reaching():
            async with self._driver.session(database=self._settings.neo4j_database) as session:
                return await read(session, query, **{"repo": self._repository, **parameters})

    async def _known_labels(self, named: Iterable[str]) -> Sequence[str]:
        """All labels of the graph. One that has never been seen, of a step installed since, gets its schema first."""
        wanted = {*self._labels, *named, str(Label.REPOSITORY)}
        async with self._driver.session(database=self._settings.neo4j_database) as session:
            known = await schema.labels(session)
            if wanted <= set(known):
                return known
            await schema.ensure(self._driver, self._settings, wanted)
            return await schema.labels(session)
