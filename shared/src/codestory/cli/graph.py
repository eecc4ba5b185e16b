"""`codestory graph`: stats, digest, query."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from neo4j import AsyncDriver
from pydantic import SecretStr

from codestory import local
from codestory.cli import arguments, tables
from codestory.cli.exits import BadUse, NoService
from codestory.cli.screen import err, out, write_json
from codestory.cli.settings import read
from codestory.cli.text import counted, plain
from codestory.contracts.jobs import Repository
from codestory.graph import GraphSettings, connect, queries
from codestory.graph.queries import FoundRepository, GraphStats
from codestory.repository_identity import identify

#: A person waits no longer for a server that is away or busy. A step does.
RETRY_SECONDS = 3.0

Found = TypeVar("Found")

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Repo = Annotated[str, typer.Argument(metavar="REPO", help="A repository's name, or its folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout, and nothing else there.")]


@app.command()
def stats(repo: Repo, as_json: AsJson = False) -> None:
    """What the graph holds of a repository: nodes by label, relationships by type."""
    settings = _settings()

    async def ask(driver: AsyncDriver) -> tuple[FoundRepository, GraphStats]:
        found = await _find(driver, settings, repo)
        return found, await queries.stats(driver, found.id, database=settings.neo4j_database)

    found, counts = _ask(settings, ask)
    if as_json:
        write_json({"name": found.name, **counts.model_dump(mode="json")})
    else:
        tables.stats(out(), found, counts)


@app.command()
def digest(repo: Repo, as_json: AsJson = False) -> None:
    """One hash over all that the graph holds of a repository. Same files, same hash."""
    settings = _settings()

    async def ask(driver: AsyncDriver) -> tuple[FoundRepository, str]:
        found = await _find(driver, settings, repo)
        return found, await queries.digest(driver, found.id, database=settings.neo4j_database)

    found, value = _ask(settings, ask)
    if found.writing_steps:
        err().print(tables.unfinished(found.writing_steps), soft_wrap=True)
    if as_json:
        write_json({"name": found.name, "repository": found.id, "digest": value})
    else:
        typer.echo(value)


@app.command()
def query(
    repo: Repo,
    cypher: Annotated[
        str,
        typer.Argument(
            metavar="CYPHER",
            help="A query that reads. $repo is the repository: MATCH (f:File {repo: $repo}) RETURN f.path",
            show_default=False,
        ),
    ],
    param: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A parameter of the query.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the graph about a repository, in Cypher."""
    settings = _settings()
    parameters = arguments.options(param or ())

    async def ask(driver: AsyncDriver) -> tables.Rows:
        found = await _find(driver, settings, repo)
        bound = parameters | {"repo": found.id}
        return await queries.run_query(driver, cypher, bound, database=settings.neo4j_database)

    rows = _ask(settings, ask)
    if as_json:
        write_json(rows)
    else:
        tables.rows(out(), rows)
        err().print(counted(len(rows), "row"))


def _settings() -> GraphSettings:
    """The graph that CODESTORY_NEO4J_URI names, or that of the embedded stack."""
    if local.LocalSettings.read().neo4j_uri:
        return read(GraphSettings).model_copy(update={"graph_retry_seconds": RETRY_SECONDS})
    stack = local.find()
    if stack is None:
        raise NoService(
            "No Code Story stack runs here. Start one with: codestory service start. "
            "Or name a graph: CODESTORY_NEO4J_URI=bolt://host:port"
        )
    access = stack.neo4j
    return GraphSettings(
        neo4j_uri=access.uri,
        neo4j_user=access.user,
        neo4j_password=SecretStr(access.password),
        neo4j_database=access.database,
        graph_retry_seconds=RETRY_SECONDS,
    )


def _ask(settings: GraphSettings, question: Callable[[AsyncDriver], Awaitable[Found]]) -> Found:
    async def connected() -> Found:
        async with connect(settings) as driver:
            return await question(driver)

    return asyncio.run(connected())


async def _find(driver: AsyncDriver, settings: GraphSettings, repo: str) -> FoundRepository:
    """A name in the graph goes before a folder of that name here."""
    database = settings.neo4j_database
    found = await queries.find_repository(driver, repo, database=database)
    if found is None and (folder := _folder(repo)):
        found = await queries.find_repository(driver, folder.id, database=database)
    if found is None:
        there = await queries.repositories(driver, database=database)
        names = ", ".join(plain(repository.name) for repository in there) or "none yet"
        raise BadUse(f"The graph has no repository '{plain(repo)}'. It has: {names}")
    return found


def _folder(typed: str) -> Repository | None:
    path = Path(typed)
    return identify(path) if path.is_dir() else None
