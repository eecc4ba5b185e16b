"""Repositories of the graph: list, show, delete."""

from typing import Annotated, Protocol, cast
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query, Response
from fastapi import Path as InPath
from fastapi.requests import HTTPConnection

from codestory.contracts.access import Principal
from codestory.contracts.repositories import ListRepositories, RepositoryList, RepositoryView
from codestory_orchestrator.api.access import Caller
from codestory_orchestrator.api.problems import documented

router = APIRouter(prefix="/v1/repositories", tags=["repositories"])

#: Seconds until it is worth asking how far a deletion is.
LOOK_AGAIN_SECONDS = 1


class Repositories(Protocol):
    """The verbs. Each raises an IngestionError for what it refuses."""

    async def list_repositories(self, query: ListRepositories, caller: Principal) -> RepositoryList: ...

    async def show(self, repository: str, caller: Principal) -> RepositoryView: ...

    async def delete(self, repository: str, caller: Principal) -> RepositoryView:
        """Once this returns it happens, whatever becomes of this process. Asked again while it goes on: the same."""
        ...


def _of_app(connection: HTTPConnection) -> Repositories:
    return cast("Repositories", connection.app.state.repositories)


Librarian = Annotated[Repositories, Depends(_of_app)]
#: An id, or a name, which may have slashes.
Repository = Annotated[str, InPath(max_length=1000, description="Its id, or its name.")]


@router.get("", responses=documented(422, 503))
async def list_repositories(
    query: Annotated[ListRepositories, Query()], repositories: Librarian, caller: Caller, response: Response
) -> RepositoryList:
    """One page of the repositories, by name. `next`, and the header Link, lead on."""
    page = await repositories.list_repositories(query, caller)
    if page.next:
        asked = query.model_dump(mode="json", exclude_defaults=True) | {"cursor": page.next}
        response.headers["Link"] = f'<{router.prefix}?{urlencode(asked)}>; rel="next"'
    return page


@router.get("/{repository:path}", responses=documented(404, 422, 503))
async def show_repository(repository: Repository, repositories: Librarian, caller: Caller) -> RepositoryView:
    """One repository: where it comes from, which commit the graph holds, how much, and its last job."""
    return await repositories.show(repository, caller)


@router.delete("/{repository:path}", status_code=202, responses=documented(404, 409, 422, 503))
async def delete_repository(
    repository: Repository, repositories: Librarian, caller: Caller, response: Response
) -> RepositoryView:
    """Take it out of the graph, with all that any step has written of it. Its jobs stay, as history. `Location` says
    how far it is: 404 once it is done. 409 while a job on it has not ended."""
    found = await repositories.delete(repository, caller)
    response.headers["Location"] = f"{router.prefix}/{quote(found.id)}"
    response.headers["Retry-After"] = str(LOOK_AGAIN_SECONDS)
    return found
