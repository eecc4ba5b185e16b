"""Servers, a graph under test with a model of it, writers in processes of their own, and a wire that can be cut."""

import asyncio
import copy
import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pytest
from neo4j import AsyncDriver

from codestory.graph import Fence, GraphSettings, GraphWriter, Node, Relationship, connect, queries, schema
from codestory.graph.content import canonical, hash_of
from codestory.graph.driver import read, written_here
from codestory.testing import SERVERS, servers_in_containers

THOROUGH = os.environ.get("CODESTORY_TEST_THOROUGH") == "1"
NEO4J = "CODESTORY_TEST_NEO4J_URI"
NEO4J_HINT = (
    f"{NEO4J}=bolt://HOST:7687 CODESTORY_TEST_NEO4J_USER=neo4j CODESTORY_TEST_NEO4J_PASSWORD=… make test, "
    f"or with Docker: {SERVERS}=containers make test"
)

OWNED: dict[str, tuple[str, ...]] = {
    "filesystem": ("Repository", "Directory", "File"),
    "blarify": ("Class", "Function", "Method"),
    "documentation_grapher": ("Document", "Section"),
}
OWNERS = tuple(OWNED)
ENDS = {
    "filesystem": [
        ("CONTAINS", "Directory", "File"),
        ("DEFINES", "File", "Function"),
        ("CONTAINS", "Repository", "Directory"),
    ],
    "blarify": [("CALLS", "Function", "Function"), ("USES", "Function", "Class"), ("CONTAINS", "Class", "Function")],
    "documentation_grapher": [
        ("DESCRIBES", "Section", "Function"),
        ("DESCRIBES", "Section", "File"),
        ("CALLS", "Function", "Function"),
        ("DOCUMENTED_BY", "Function", "Section"),
    ],
}
#: Few ids of each label, so that owners meet often.
POOL = 9
#: Writers at once.
LANES = 4

Properties = dict[str, Any]
Server = dict[str, Any]


#: Label, id.
Key = tuple[str, str]
#: Type, label, id, label, id.
Edge = tuple[str, str, str, str, str]


class Said:
    """What one owner says."""

    def __init__(
        self, nodes: Mapping[Key, Properties] | None = None, relationships: Mapping[Edge, Properties] | None = None
    ) -> None:
        self.nodes = dict(nodes or {})
        self.relationships = dict(relationships or {})


Graph = tuple[dict[Any, tuple[bool, Properties]], dict[Any, Properties]]


class Writers:
    """Runs jobs in processes of their own, at once; those that are to be killed in forks of another."""

    def __init__(self) -> None:
        self._lanes = [_lane() for _ in range(LANES)]
        self._forker = _lane("--fork")

    def run(self, *jobs: Properties) -> list[Properties]:
        for lane, job in zip(self._lanes, jobs, strict=False):
            _send(lane, job)
        return [_heard(lane) for lane in self._lanes[: len(jobs)]]

    def run_and_kill(self, job: Properties) -> Properties:
        _send(self._forker, job)
        return _heard(self._forker)

    def close(self) -> None:
        for lane in (*self._lanes, self._forker):
            _stream(lane.stdin).close()
            lane.wait(30)
            _stream(lane.stdout).close()


Lane = subprocess.Popen[bytes]


def _lane(*arguments: str) -> Lane:
    program = [sys.executable, str(Path(__file__).with_name("writers.py")), *arguments]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _send(lane: Lane, job: Properties) -> None:
    _stream(lane.stdin).write(json.dumps(job).encode() + b"\n")
    _stream(lane.stdin).flush()


def _heard(lane: Lane) -> Properties:
    return json.loads(_stream(lane.stdout).readline())


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


class GraphUnderTest:
    """One repository on one server. What the graph must hold is a function of what each owner last said."""

    owners = OWNERS
    ends = ENDS
    says = Said

    def __init__(self, driver: AsyncDriver, settings: GraphSettings, writers: Writers) -> None:
        self.driver, self.settings, self.writers = driver, settings, writers
        self.repository = f"test-{uuid.uuid4().hex[:12]}"
        self.said: dict[str, Said] = {}
        self.owned = dict(OWNED)

    def over(self, driver: AsyncDriver) -> "GraphUnderTest":
        """The same graph, reached another way."""
        other = copy.copy(self)
        other.driver = driver
        return other

    def id(self, label: str, number: int) -> str:
        return self.repository if label == "Repository" else f"{self.repository}:{label}:{number:05d}"

    def writer(
        self,
        owner: str,
        fence: tuple[int, int] = (1, 1),
        repository: str = "",
        later: tuple[str, ...] = (),
        **settings: Any,
    ) -> GraphWriter:
        return GraphWriter(
            self.driver,
            self.settings.model_copy(update=settings),
            repository=repository or self.repository,
            owner=owner,
            fence=Fence(*fence),
            labels=self.owned[owner],
            later=later,
        )

    async def write(
        self,
        owner: str,
        said: Said,
        fence: tuple[int, int] = (1, 1),
        *,
        batch: int = 1000,
        volatile: Properties | None = None,
        progress: Callable[[int, int], None] | None = None,
        **settings: Any,
    ) -> dict[str, int]:
        self.said[owner] = said
        return await self.writer(owner, fence, graph_batch_rows=batch, **settings).replace(
            [Node(*key, properties) for key, properties in said.nodes.items()],
            [Relationship(*key, properties) for key, properties in said.relationships.items()],
            volatile=volatile,
            progress=progress,
            shrink_limit=1,
        )

    def job(
        self, owner: str, said: Said, fence: tuple[int, int] = (1, 1), batch: int = 1000, **more: Any
    ) -> Properties:
        settings = self.settings.model_dump(mode="json")
        settings |= {"neo4j_password": self.settings.password(), "graph_batch_rows": batch}
        return {
            "settings": settings,
            "repository": self.repository,
            "owner": owner,
            "labels": self.owned[owner],
            "later": (),
            "fence": fence,
            "nodes": [[*key, properties] for key, properties in said.nodes.items()],
            "relationships": [[*key, properties] for key, properties in said.relationships.items()],
            "kill_after_transactions": None,
            "kill_after_seconds": None,
            "delay_seconds": 0,
            "ensure": False,
            "reserve": None,
            "puts": [],
            **more,
        }

    def some(self, rng: random.Random, owner: str, was: Said | None = None) -> Said:
        """Random content; `was` is edited, not made anew."""
        said = Said(was.nodes, was.relationships) if was else Said()
        keep = rng.choice([0, 0.2, 0.6, 0.9])
        for label in self.owned[owner]:
            for number in range(1 if label == "Repository" else POOL):
                if was is None or rng.random() < 0.3:
                    said.nodes.pop((label, self.id(label, number)), None)
                    if rng.random() < keep:
                        said.nodes[label, self.id(label, number)] = _properties(rng)
        for type_, a, b in ENDS[owner]:
            for _ in range(rng.choice([0, 3, 12])):
                key = type_, a, self.id(a, rng.randrange(POOL)), b, self.id(b, rng.randrange(POOL))
                said.relationships.pop(key, None)
                if rng.random() < 0.6:
                    said.relationships[key] = _properties(rng)
            for key in [key for key in said.relationships if key[0] == type_ and rng.random() < 0.2]:
                del said.relationships[key]
        return said

    def expected(self) -> Graph:
        nodes = {key: (False, _kept(p)) for said in self.said.values() for key, p in said.nodes.items()}
        relationships: dict[Any, Properties] = {}
        for owner, said in self.said.items():
            for (type_, a, a_id, b, b_id), properties in said.relationships.items():
                relationships[owner, type_, a, a_id, b, b_id] = _kept(properties)
                for end in ((a, a_id), (b, b_id)):
                    nodes.setdefault(end, (True, {}))
        return nodes, relationships

    def expected_digest(self) -> str:
        nodes, relationships = self.expected()
        items = [["node", *key, *value] for key, value in nodes.items()]
        items += [["relationship", *key, properties] for key, properties in relationships.items()]
        return f"{sum(int(hash_of(item), 16) for item in items) % 2**128:032x}"

    async def actual(self) -> Graph:
        nodes: dict[Any, tuple[bool, Properties]] = {}
        relationships: dict[Any, Properties] = {}
        count = 0
        async for kind, *item in queries.items(self.driver, self.repository):
            count += 1
            if kind == "node":
                nodes[tuple(item[:2])] = (item[2], item[3])
            else:
                relationships[tuple(item[:6])] = item[6]
        assert count == len(nodes) + len(relationships), "something is stored twice"
        return nodes, relationships

    async def agrees(self) -> None:
        """The graph holds what the owners last said, and nobody is writing."""
        for wanted, there in zip(self.expected(), await self.actual(), strict=True):
            differing = {key: (wanted.get(key), there.get(key)) for key in wanted.keys() | there.keys()}
            differing = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
            assert not differing, f"wanted, there: {dict(list(differing.items())[:3])}"
        assert (await self.query("MATCH (r:Repository {id: $repo}) RETURN r.writing_steps AS w")) in ([], [{"w": None}])

    async def query(self, text: str, **parameters: Any) -> list[Properties]:
        async with self.driver.session(database=self.settings.neo4j_database) as session:
            return await read(session, text, repo=self.repository, **parameters)

    async def execute(self, text: str) -> None:
        await self.driver.execute_query(
            written_here(text), {"repo": self.repository}, database_=self.settings.neo4j_database
        )

    async def digest(self) -> str:
        return await queries.digest(self.driver, self.repository)

    async def forget_labels(self, *labels: str) -> None:
        """A server that outlives the tests keeps nothing of them."""
        await self.wipe()
        async with self.driver.session(database=self.settings.neo4j_database) as session:
            for label in labels:
                for statement in (f"CONSTRAINT {label}_id", f"INDEX {label}_repo", f"INDEX {label}_missing"):
                    await (await session.run(written_here(f"DROP {statement} IF EXISTS"))).consume()

    async def wipe(self) -> None:
        """Nothing of this repository is left, nor of others whose ids begin with its own; their fences included."""
        async with self.driver.session(database=self.settings.neo4j_database) as session:
            labels = await schema.labels(session)
        for label in labels:
            await self.execute(f"MATCH (n:{label}) WHERE n.repo STARTS WITH $repo DETACH DELETE n")
        await self.execute("MATCH (f:_Fence) WHERE f.key STARTS WITH $repo DELETE f")


class Wire:
    """Stands between a client and the server; keeps what clients send, and can be cut."""

    #: COMMIT, as Bolt frames it: a chunk of two bytes, a structure without fields.
    COMMIT = b"\x00\x02\xb0\x12\x00\x00"

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._streams: set[asyncio.StreamWriter] = set()
        self.sent = bytearray()
        self.commits = 0
        #: Numbers of the commits that go through and whose answers are lost.
        self.lose: set[int] = set()
        self.lost = 0
        self.is_down = False
        #: What is to pass, in this order; the last of it is not sent on until `thaw` is set: its client seems stopped.
        self.freeze: list[bytes] = []
        self.frozen, self.thaw = asyncio.Event(), asyncio.Event()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"bolt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """All connections break, and new ones are refused until `is_down` is taken back."""
        self.is_down = True
        for stream in self._streams:
            stream.transport.abort()

    async def close(self) -> None:
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        if self.is_down:
            client_out.transport.abort()
            return
        server_in, server_out = await asyncio.open_connection(*self._target)
        both = {client_out, server_out}
        self._streams |= both
        losing = asyncio.Event()
        await asyncio.gather(self._up(client_in, server_out, losing), self._down(server_in, client_out, losing))
        self._streams -= both
        for stream in both:
            stream.transport.abort()

    async def _up(self, client: asyncio.StreamReader, server: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await _received(client):
            self.sent += data
            for _ in range(data.count(self.COMMIT)):
                self.commits += 1
                if self.commits in self.lose:
                    losing.set()
            if self.freeze and self.freeze[0] in data:
                del self.freeze[0]
                if not self.freeze:
                    self.frozen.set()
                    await self.thaw.wait()
            server.write(data)
        server.transport.abort()

    async def _down(self, server: asyncio.StreamReader, client: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await _received(server):
            if losing.is_set():
                self.lost += 1
                break
            client.write(data)
        client.transport.abort()


async def _received(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.read(65536)
    except ConnectionError:
        return b""


def _properties(rng: random.Random) -> Properties:
    every: Properties = {
        "name": rng.choice(["ä", "b\u2028c", "d'\"\\", "nul\0"]),
        "lines": rng.choice([[], [1, 2], [3]]),
        "size": rng.choice([0, -1, 2**40]),
        "score": rng.choice([0.5, 1.0, 1e-9]),
        "flag": rng.random() < 0.5,
        "text": rng.choice(["", "x" * 3000]),
        "gone": None,
    }
    return {key: value for key, value in every.items() if rng.random() < 0.6}


def _kept(properties: Mapping[str, Any]) -> Properties:
    return json.loads(canonical(properties))


@pytest.fixture(scope="session", params=["arcadedb", "neo4j"])
def settings(request: pytest.FixtureRequest) -> GraphSettings:
    """Where the server under test is reached."""
    if request.param == "arcadedb":
        if servers_in_containers():
            pytest.skip(f"the embedded graph server is no container; to run these: {SERVERS}=local make test")
        return request.getfixturevalue("arcadedb_process")
    if NEO4J not in os.environ and servers_in_containers():
        return request.getfixturevalue("neo4j_container")
    if NEO4J not in os.environ:
        pytest.skip(f"no Neo4j to test on; to run these: {NEO4J_HINT}")
    return GraphSettings.model_validate(
        {
            "neo4j_uri": os.environ[NEO4J],
            "neo4j_user": os.environ.get("CODESTORY_TEST_NEO4J_USER", "neo4j"),
            "neo4j_password": os.environ.get("CODESTORY_TEST_NEO4J_PASSWORD", ""),
            "neo4j_password_file": None,
            "neo4j_database": "neo4j",
        }
    )


@pytest.fixture(scope="session")
def writers() -> Iterator[Writers]:
    writers = Writers()
    yield writers
    writers.close()


@pytest.fixture
async def driver(settings: GraphSettings) -> AsyncIterator[AsyncDriver]:
    async with connect(settings) as driver:
        await schema.ensure(driver, settings)
        yield driver


@pytest.fixture
async def graph(driver: AsyncDriver, settings: GraphSettings, writers: Writers) -> AsyncIterator[GraphUnderTest]:
    """A repository of its own for each test, gone afterwards."""
    graph = GraphUnderTest(driver, settings, writers)
    yield graph
    await graph.wipe()


@pytest.fixture
async def wire(settings: GraphSettings) -> AsyncIterator[tuple[Wire, GraphSettings]]:
    """A wire to the server, and the settings that go through it."""
    host, port = settings.neo4j_uri.removeprefix("bolt://").rsplit(":", 1)
    wire = Wire(host, int(port))
    yield wire, settings.model_copy(update={"neo4j_uri": await wire.start()})
    await wire.close()


@pytest.fixture
def thorough() -> Callable[[int, int], int]:
    """A size: the first in every run, the second with CODESTORY_TEST_THOROUGH=1."""
    return lambda usual, many: many if THOROUGH else usual
