"""The one writer: makes the graph hold exactly what one owner says of one repository, writing only the difference.

The graph is a function of the latest content of each owner, whatever the order of the writes: that makes an update
equal a rebuild. So a writer touches only its own nodes' properties and its own relationships. A node that relationships
name and whose owner has not written it, or no more, is a placeholder (`_missing`).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from neo4j import AsyncDriver, AsyncSession

from codestory.graph import completion, pages, schema
from codestory.graph.addition import Addition
from codestory.graph.batches import Room
from codestory.graph.budget import Budget
from codestory.graph.content import RESERVED_ON_NODES, Content, canonical, checked_id
from codestory.graph.driver import Row, reaching, read
from codestory.graph.fence import FencedTransaction, Transactions
from codestory.graph.model import Fence, Label, Node, Property, Relationship, checked_label, checked_owner
from codestory.graph.replacement import Replacement, ReportProgress, nothing
from codestory.graph.settings import GraphSettings
from codestory.graph.writing import Writing


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
        later: tuple[str, ...] = (),
        timed: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """`later`: the steps whose content is made of this one's, and is stale once this one's has changed. `timed`:
        entered around what is written."""
        self._driver, self._settings = driver, settings
        self._repository, self._owner = checked_id(repository), checked_owner(owner)
        self._fence, self._later, self._timed = fence, later, timed
        self._labels = tuple(checked_label(label) for label in labels)
        #: It was asked to write.
        self.used = False
        self._turn = asyncio.Lock()
        # What every put would have to find out anew.
        self._claimed = self._entered = False
        self._labels_known: Sequence[str] = ()

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
        async with self._turn, self._content(nodes, relationships) as (session, content):
            self._entered = False
            replacement = Replacement(
                session=session,
                transaction=self._transactions(session),
                repository=self._repository,
                owner=self._owner,
                owned=self._labels,
                labels=await self._known_labels(session, content.labels),
                room=self._room,
                content=content,
                volatile=notes,
                later=self._later,
                report=progress or (lambda _done, _total: None),
            )
            with self._timed():
                return await replacement.run(limit)

    async def put(self, nodes: Iterable[Node], relationships: Iterable[Relationship]) -> dict[str, int]:
        """Write these now, before the whole is known: what is made stays, whatever becomes of the attempt.

        The nodes are created or changed; of each source that is named, the outgoing relationships of this step become
        exactly those given. Nothing else is touched. In one transaction, if it fits. The step counts as writing until
        its `replace`, which then finds these written. Returns and raises as `replace` does, but never Shrinks.
        """
        async with self._turn, self._content(nodes, relationships) as (session, content):
            self._labels_known = await self._known_labels(session, content.labels, self._labels_known)
            transaction = self._transactions(session)
            if not self._claimed:
                await transaction(nothing)
                self._claimed = True
            writing = Writing(session, self._repository, self._owner, self._labels_known, self._room, content)
            addition = Addition(session, transaction, self._labels, writing, self._later)
            with self._timed():
                self._entered |= await addition.run(entered=self._entered)
            return dict(transaction.written)

    async def recorded(self) -> str | None:
        """What `complete` was last given for this step and repository. None: it has written nothing here yet; empty:
        its last run changed something and did not complete. No older attempt writes from here on. Raises Fenced."""
        found: list[str | None] = []

        async def look(tx: FencedTransaction) -> None:
            found.append(await completion.recorded(tx))

        async with self._turn, self._session() as session:
            await self._transactions(session)(look)
        return found[-1]

    async def complete(self, record: str) -> None:
        """This step is through with this repository: it is not stale any more, and `record` is what is known of the
        run, until another one changes something. The last transaction of an attempt. Raises Fenced."""
        end = partial(completion.end, repository=self._repository, owner=self._owner, text=record)
        async with self._turn, self._session() as session:
            await self._transactions(session)(end)

    async def nodes(self, label: str, *properties: str, page: int = 5000) -> AsyncIterator[Row]:
        """`id` and each property, None where it has none, of every node that its owner has written. By id."""
        async with self._session() as session:
            async for row in pages.nodes(session, self._repository, label, properties, page):
                yield row

    async def relationships(
        self, type_: str, source_label: str, target_label: str, *properties: str, page: int = 1000
    ) -> AsyncIterator[Row]:
        """`source`, `target` and each property, whoever owns it, between nodes that their owners have written.

        By the source's id. `page` counts sources.
        """
        async with self._session() as session:
            ends = type_, source_label, target_label
            async for row in pages.relationships(session, self._repository, ends, properties, page):
                yield row

    async def read(self, query: str, **parameters: Any) -> list[Row]:
        """Rows of a query that reads; `$repo` is this repository's id. Placeholders have `_missing`: filter them."""
        async with self._session() as session:
            return await read(session, query, **{"repo": self._repository, **parameters})

    def budget(self, name: str) -> Budget:
        """A rate that all processes which use this graph keep together, whatever the repository."""
        return Budget(self._driver, self._settings, name)

    @asynccontextmanager
    async def _session(self) -> AsyncGenerator[AsyncSession]:
        with reaching():
            async with self._driver.session(database=self._settings.neo4j_database) as session:
                yield session

    @asynccontextmanager
    async def _content(
        self, nodes: Iterable[Node], relationships: Iterable[Relationship]
    ) -> AsyncGenerator[tuple[AsyncSession, Content]]:
        self.used = True
        async with self._session() as session:
            with Content(self._labels, self._settings.graph_content_memory_bytes) as content:
                for node in nodes:
                    content.add_node(node)
                for relationship in relationships:
                    content.add_relationship(relationship)
                yield session, content

    def _transactions(self, session: AsyncSession) -> Transactions:
        key = f"{self._repository}+{self._owner}"
        return Transactions(session, key, self._fence, self._settings.graph_transaction_seconds)

    @property
    def _room(self) -> Room:
        return Room(self._settings.graph_batch_rows, self._settings.graph_batch_bytes)

    async def _known_labels(
        self, session: AsyncSession, named: Iterable[str], known: Sequence[str] = ()
    ) -> Sequence[str]:
        """All labels of the graph. One that has never been seen, of a step installed since, gets its schema first."""
        wanted = {*self._labels, *named, str(Label.REPOSITORY)}
        if wanted <= set(known):
            return known
        there = await schema.labels(session)
        if wanted <= set(there):
            return there
        await schema.ensure(self._driver, self._settings, wanted)
        return await schema.labels(session)
