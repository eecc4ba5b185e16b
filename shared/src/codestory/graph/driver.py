"""The way to the server: one driver a process, its errors told in our words, rows as dicts. Knows Bolt alone."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, cast

from neo4j import AsyncDriver, AsyncGraphDatabase, AsyncManagedTransaction, AsyncSession, AsyncTransaction
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    DatabaseError,
    IncompleteCommit,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
)

from codestory.graph.errors import GraphUnavailable
from codestory.graph.settings import GraphSettings

SCHEMES = tuple(f"{scheme}{security}://" for scheme in ("bolt", "neo4j") for security in ("", "+s", "+ssc"))
#: The driver's own first delay is a second; two writers on one page wait milliseconds.
FIRST_RETRY_SECONDS = 0.05
#: Doubled, the delays of a large transaction that small ones overtake soon reach half a minute.
RETRY_GROWTH = 1.2
#: Rows in one record of a long answer.
PART_ROWS = 1000
#: Reads that failed for no fault of theirs, one after the other, before the last try.
READ_ATTEMPTS = 5
#: Between two looks at a server that is starting.
READY_POLL_SECONDS = 0.1

Row = dict[str, Any]


def connect(settings: GraphSettings) -> AsyncDriver:
    """A driver, which connects on first use. Close it."""
    if not settings.neo4j_uri.startswith(SCHEMES):
        raise GraphUnavailable(f"The address of the graph must begin with bolt:// or neo4j://: {settings.neo4j_uri}")
    try:
        return AsyncGraphDatabase.driver(
            settings.neo4j_uri,
            auth=(settings.neo4j_user, settings.password()),
            connection_timeout=settings.graph_connect_timeout,
            max_transaction_retry_time=settings.graph_retry_seconds,
            initial_retry_delay=FIRST_RETRY_SECONDS,
            retry_delay_multiplier=RETRY_GROWTH,
            # Neo4j warns of every property name that an empty database has not seen yet.
            notifications_min_severity="OFF",
            user_agent="codestory",
        )
    except (ConfigurationError, ValueError) as error:
        raise GraphUnavailable(f"The address of the graph is no good: {settings.neo4j_uri}: {error}") from error


async def wait_ready(driver: AsyncDriver, settings: GraphSettings, timeout: float) -> None:  # noqa: ASYNC109 - the caller's deadline, kept across many tries
    """Until a query succeeds: an embedded server opens its port a second before its database exists."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with reaching():
                async with driver.session(database=settings.neo4j_database) as session:
                    await (await session.run("RETURN 1")).consume()
            return
        except GraphUnavailable as error:
            if isinstance(error.__cause__, AuthError) or time.monotonic() > deadline:
                raise
        await asyncio.sleep(READY_POLL_SECONDS)


@contextmanager
def reaching() -> Generator[None]:
    """What means that the server cannot be used leaves as GraphUnavailable; everything else as it is."""
    try:
        yield
    except AuthError as error:
        raise GraphUnavailable("The graph server refused the user name and password.") from error
    except (ServiceUnavailable, SessionExpired) as error:
        raise GraphUnavailable(f"The graph server cannot be reached: {error}") from error
    except TransientError as error:
        raise GraphUnavailable(f"The graph server stayed busy: {error.message}") from error
    except ClientError as error:
        if (error.code or "").startswith(("Neo.ClientError.Security.", "Neo.ClientError.Database.")):
            raise GraphUnavailable(f"The graph server refused: {error.message}") from error
        raise
    except OSError as error:
        raise GraphUnavailable(f"The connection to the graph server broke: {error}") from error


async def rows(tx: AsyncManagedTransaction | AsyncTransaction, query: str, **parameters: Any) -> list[Row]:
    result = await tx.run(written_here(query), parameters)
    return await result.data()


async def read(session: AsyncSession, query: str, **parameters: Any) -> list[Row]:
    """In a transaction of its own, tried again when the server is away or busy."""

    async def work(tx: AsyncManagedTransaction) -> list[Row]:
        return await rows(tx, query, **parameters)

    for attempt in range(READ_ATTEMPTS):
        # For fear of writing twice the driver repeats neither a lost answer nor what the server calls its own fault,
        # as ArcadeDB does of a look at a schema that another connection is changing. A read may be repeated.
        with suppress(IncompleteCommit, DatabaseError):
            return await session.execute_read(work)
        await asyncio.sleep(FIRST_RETRY_SECONDS * 2**attempt)
    return await session.execute_read(work)


def in_parts(name: str, values: str) -> str:
    """The end of a query for many rows: lists of PART_ROWS of them, as `part`.

    The asynchronous driver waits several times for each record; 54,000 rows took 7 s one by one and 0.8 s so."""
    cut = f"WITH collect({name}) AS everything UNWIND range(0, size(everything) - 1, {PART_ROWS}) AS at"
    return f"{cut} RETURN [{name} IN everything[at..at + {PART_ROWS}] | [{values}]] AS part"


def written_here(query: str) -> LiteralString:
    """The driver wants to see a literal. Ours are put together of literals and checked names; values are parameters."""
    return cast("LiteralString", query)
