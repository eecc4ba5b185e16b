"""The repositories that there are: in the graph, or known by their name only."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from codestory.contracts.values import JobState, Mode, Value


class ListRepositories(BaseModel):
    """One page of the repositories, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: How the name begins.
    name: Annotated[str, Field(max_length=300)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    #: `next` of the page before, with the same `name`.
    cursor: Annotated[str, Field(min_length=1, max_length=2000)] | None = None


class LastJob(Value):
    """The newest job on it that is still kept."""

    id: str
    state: JobState
    mode: Mode = Mode.FULL
    created_at: datetime
    ended_at: datetime | None = None
    #: As of the job: every step took in all it found.
    complete: bool = False


class DeletionView(Value):
    since: datetime
    #: Nodes and relationships that have gone, as far as it has been told.
    removed: int = 0
    #: Why it does not go on; it is tried again.
    problem: str = ""


class RepositoryView(Value):
    """`complete`: it is in the graph, nobody writes it or was killed writing it, no step of it is stale, and its last
    job did not fail."""

    id: str
    name: str
    #: What the name is bound to: its remote, or where it lies. Empty: nothing, so that any repository may take it.
    origin: str = ""
    url: str = ""
    branch: str = ""
    commit: str = ""
    ingested_at: datetime | None = None
    #: The graph has it. A repository that is known by its job alone has not been written yet.
    in_graph: bool = False
    complete: bool = False
    #: Steps that write it now, or were killed when they did.
    writing_steps: tuple[str, ...] = ()
    #: Steps whose part is older than what it is made of.
    stale_steps: tuple[str, ...] = ()
    #: Nodes by label. Not in lists: it takes a while to count.
    nodes: dict[str, int] | None = None
    last_job: LastJob | None = None
    deleting: bool = False
    deletion: DeletionView | None = None


class RepositoryList(Value):
    repositories: tuple[RepositoryView, ...]
    #: `cursor` of the next page; null: there are no more.
    next: str | None = None
