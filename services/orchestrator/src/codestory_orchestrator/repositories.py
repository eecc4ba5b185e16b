"""Which repositories there are: what the graph holds of each, the names that are bound, and the jobs, joined."""

import base64
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from neo4j import AsyncDriver

from codestory import repository_identity
from codestory.bus import LOST
from codestory.contracts.access import Principal, Role
from codestory.contracts.repositories import (
    DeletionView,
    LastJob,
    ListRepositories,
    RepositoryList,
    RepositoryView,
)
from codestory.contracts.values import JobState
from codestory.graph import GraphSettings, driver, repositories
from codestory.graph.errors import GraphUnavailable
from codestory.graph.repositories import StoredRepository
from codestory_orchestrator.deletions import Deletions
from codestory_orchestrator.errors import CursorInvalid, GraphAway, RepositoryNotFound, ServiceUnavailable
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.sketches import Sketch
from codestory_orchestrator.store import JobStore, RepositoryQueue
from codestory_orchestrator.views import job_view

ID = re.compile(r"[0-9a-f]{32}")
FAILED = frozenset({JobState.FAILED, JobState.STOPPED, JobState.CANCELLED})
#: By name, then by id.
Key = tuple[str, str]


class Repositories:
    """Who is no admin sees those that a job of theirs is on, as long as the job is kept."""

    def __init__(
        self, store: JobStore, deletions: Deletions, graph: GraphSettings, settings: OrchestratorSettings
    ) -> None:
        self.store, self.deletions = store, deletions
        self._database = graph.neo4j_database
        patience = settings.repositories_graph_seconds
        self._driver: AsyncDriver = driver.connect(
            graph.model_copy(update={"graph_retry_seconds": patience, "graph_connect_timeout": patience})
        )

    async def close(self) -> None:
        await self._driver.close()

    async def list_repositories(self, query: ListRepositories, caller: Principal) -> RepositoryList:
        after = _decoded(query) if query.cursor else None
        try:
            stored = await repositories.stored(self._driver, database=self._database)
        except GraphUnavailable as error:
            raise GraphAway(str(error)) from error
        jobs = await self._jobs()
        bound = self.store.bindings()
        keys = [
            (_name(stored.get(id_), bound.get(id_)), id_)
            for id_ in stored.keys() | bound.keys()
            if _seen(jobs.get(id_, ()), caller)
        ]
        keys = sorted(key for key in keys if key[0].startswith(query.name) and (after is None or key > after))
        shown = keys[: query.limit]
        views = [self._view(id_, stored.get(id_), bound.get(id_), jobs.get(id_, ())) for _, id_ in shown]
        return RepositoryList(
            repositories=tuple(views), next=_encoded(query, shown[-1]) if len(keys) > len(shown) else None
        )

    async def show(self, repository: str, caller: Principal) -> RepositoryView:
        """By id, else by name. Raises RepositoryNotFound."""
        jobs = await self._jobs()
        for id_ in _ids(repository):
            bound = await self._bound(id_)
            try:
                stored = await repositories.find(self._driver, id_, database=self._database)
                if (stored or bound) and _seen(jobs.get(id_, ()), caller):
                    counts = await repositories.node_counts(self._driver, id_, database=self._database)
                    return self._view(id_, stored, bound, jobs.get(id_, ()), counts)
            except GraphUnavailable as error:
                raise GraphAway(str(error)) from error
        raise RepositoryNotFound(repository)

    async def delete(self, repository: str, caller: Principal) -> RepositoryView:
        """It goes on by itself; what is shown says how far it is. Raises RepositoryNotFound, RepositoryBusy."""
        found = await self.show(repository, caller)
        await self.deletions.begin(found.id, found.name, found.origin)
        bound = await self._bound(found.id)
        deletion = _deletion(bound)
        return found.model_copy(update={"deleting": True, "deletion": deletion, "complete": False})

    async def _bound(self, id_: str) -> RepositoryQueue | None:
        try:
            return await self.store.queue(id_)
        except LOST as error:
            raise ServiceUnavailable from error

    async def _jobs(self) -> dict[str, list[Sketch]]:
        try:
            found = await self.store.all()
        except LOST as error:
            raise ServiceUnavailable from error
        jobs: dict[str, list[Sketch]] = {}
        for job in found:
            jobs.setdefault(job.repository, []).append(job)
        return jobs

    def _view(
        self,
        id_: str,
        stored: StoredRepository | None,
        bound: RepositoryQueue | None,
        jobs: Iterable[Sketch],
        counts: dict[str, int] | None = None,
    ) -> RepositoryView:
        there = stored or StoredRepository(id=id_, written=False)
        last = self._last(jobs)
        written = there.written or bool(counts)
        deletion = _deletion(bound)
        whole = there.written and not there.writing_steps and not there.stale_steps and deletion is None
        return RepositoryView(
            id=id_,
            name=_name(stored, bound) or id_,
            origin=bound.origin if bound else "",
            url=there.url,
            branch=there.branch,
            commit=there.commit,
            ingested_at=_moment(there.ingested_at),
            in_graph=written,
            complete=whole and not (last and last.state in FAILED),
            writing_steps=there.writing_steps,
            stale_steps=there.stale_steps,
            nodes=counts,
            last_job=last,
            deleting=deletion is not None,
            deletion=deletion,
        )

    def _last(self, jobs: Iterable[Sketch]) -> LastJob | None:
        """Ids grow with time."""
        newest = max((job.id for job in jobs), default=None)
        found = self.store.remembered(newest) if newest else None
        if not found:
            return None
        view = job_view(*found)
        return LastJob.model_validate(view.model_dump(include=set(LastJob.model_fields)))


def _seen(jobs: Iterable[Sketch], caller: Principal) -> bool:
    return caller.role is Role.ADMIN or any(job.owner == caller.owner for job in jobs)


def _ids(repository: str) -> list[str]:
    """What may be meant, the likelier first."""
    try:
        by_name = repository_identity.repository_id(repository)
    except UnicodeEncodeError:  # half a character
        return []
    return [repository, by_name] if ID.fullmatch(repository) else [by_name]


def _name(stored: StoredRepository | None, bound: RepositoryQueue | None) -> str:
    return (stored.name if stored else "") or (bound.name if bound else "")


def _deletion(bound: RepositoryQueue | None) -> DeletionView | None:
    if bound is None or bound.deletion is None:
        return None
    return DeletionView(since=bound.deletion.at, removed=bound.deletion.removed, problem=bound.deletion.problem)


def _moment(text: str) -> datetime | None:
    """As the step wrote it; nothing that it did not write as one."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _encoded(query: ListRepositories, key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([query.name, *key]).encode()).decode().rstrip("=")


def _decoded(query: ListRepositories) -> Key:
    text = query.cursor or ""
    try:
        prefix, name, id_ = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError) as error:
        raise CursorInvalid from error
    if prefix != query.name or not isinstance(name, str) or not isinstance(id_, str):
        raise CursorInvalid
    return name, id_
