"""The whole embedded stack by its commands: found again, private, small, and its data outlive a crash."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import nats
import neo4j
import psutil
import pytest
from nats.aio.client import Client as Connection

from codestory.local import LocalSettings, find, service_url
from codestory.local.paths import StatePaths
from codestory.local.processes import Member, family
from codestory.local.record import StackRecord
from codestory.testing import EmbeddedStack, executable, install_steps, wait_until

if TYPE_CHECKING:
    from codestory.local import Stack

pytestmark = pytest.mark.long

#: What a fresh idle stack may take; bytes.
MOST_MEMORY = 800_000_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A stack that tests may kill."""
    own = EmbeddedStack(tmp_path_factory.mktemp("own"))
    try:
        yield own
    finally:
        own.stop()


def paths(of: EmbeddedStack) -> StatePaths:
    return StatePaths(Path(of.environment["CODESTORY_STATE_DIR"]))


def found(of: EmbeddedStack) -> "Stack":
    stack = find(LocalSettings(state_dir=paths(of).root))
    assert stack is not None
    return stack


def members(of: EmbeddedStack) -> list[Member]:
    record = StackRecord.read(paths(of).record)
    assert record is not None
    return [Member(record.pid, record.identity), *(Member(p.pid, p.identity) for p in record.processes)]


def test_a_second_start_finds_the_running_stack(stack: EmbeddedStack) -> None:
    before = members(stack)

    again = stack.answer("service", "start")

    assert again["found"] is True
    assert again["url"] == found(stack).url
    assert members(stack) == before


def test_programs_find_the_running_stack(stack: EmbeddedStack) -> None:
    settings = LocalSettings(state_dir=paths(stack).root)

    assert service_url(settings) == found(stack).url
    assert service_url(LocalSettings(url="http://elsewhere/")) == "http://elsewhere"


def test_secrets_stand_in_private_files_and_in_no_command_line(stack: EmbeddedStack) -> None:
    secrets = [file.read_text() for file in paths(stack).secrets.glob("*.password")]
    commands = [" ".join(psutil.Process(member.pid).cmdline()) for member in members(stack)]

    assert len(secrets) == 2
    assert not [command for command in commands for secret in secrets if secret in command]
    files = [file for file in paths(stack).root.rglob("*") if file.is_file()]
    assert not [file for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077]


def test_everything_listens_on_loopback_alone(stack: EmbeddedStack) -> None:
    listening = [
        connection.laddr.ip
        for member in members(stack)
        for connection in psutil.Process(member.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert len(listening) >= 3
    assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_status_shows_each_process_and_what_it_uses(stack: EmbeddedStack) -> None:
    status = stack.answer("service", "status")

    names = {process["name"] for process in status["processes"]}
    assert status["ready"]
    assert {"supervisor", "nats", "graph", "orchestrator", "step-filesystem"} <= names
    assert {process["state"] for process in status["processes"]} == {"running"}
    assert all(process["memory_bytes"] > 1_000_000 for process in status["processes"])
    assert f"{status['url']}: ready" in stack.run("service", "status").stdout


def test_logs_are_shown_by_step(stack: EmbeddedStack) -> None:
    shown = stack.run("service", "logs", "nats", "-n", "1000")

    assert "Server is ready" in shown.stdout
    assert stack.run("service", "logs", "nothing").returncode == 2


def test_another_nats_than_the_running_stacks_is_refused(stack: EmbeddedStack) -> None:
    elsewhere = {**stack.environment, "CODESTORY_NATS_URL": "nats://127.0.0.1:1"}
    command = [executable("codestory"), "service", "start"]

    ran = subprocess.run(command, env=elsewhere, capture_output=True, text=True, check=False, timeout=60)

    assert ran.returncode == 2
    assert "codestory service stop" in ran.stderr


def test_without_a_stack_status_says_so(tmp_path: Path) -> None:
    none = EmbeddedStack(tmp_path)

    shown = none.run("service", "status", "--json")

    assert shown.returncode == 4
    assert json.loads(shown.stdout)["running"] is False
    assert none.answer("service", "stop")["was_running"] is False


def test_two_starts_make_one_stack(own: EmbeddedStack) -> None:
    command = [executable("codestory"), "service", "start", "--json"]
    both = [subprocess.Popen(command, env=own.environment, cwd=own.directory, stdout=subprocess.PIPE) for _ in range(2)]
    answers: list[dict[str, Any]] = [json.loads(process.communicate(timeout=150)[0]) for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert sorted(answer["found"] for answer in answers) == [False, True]
    assert len({answer["url"] for answer in answers}) == 1


async def test_data_outlive_the_sudden_death_of_everything(own: EmbeddedStack) -> None:
    url = own.start()
    await _store(found(own), paths(own))
    old = members(own)
    for member in old:
        member.send(signal.SIGKILL)

    again = own.start()

    assert again == url
    assert not [member for member in old if member.alive]
    assert await _stored(found(own), paths(own))


async def test_a_killed_server_comes_back_and_the_stack_with_it(own: EmbeddedStack) -> None:
    own.start()
    record = StackRecord.read(paths(own).record)
    assert record is not None

    for process in record.processes:
        if process.name in {"nats", "graph"}:
            os.kill(process.pid, signal.SIGKILL)

    async def ready() -> bool:
        status = own.answer("service", "status")
        restarts = {process["name"]: process["restarts"] for process in status["processes"]}
        return status["ready"] and restarts["nats"] == restarts["graph"] == 1

    await wait_until(ready, "the stack is ready again", 60)


def test_a_fresh_stack_is_small(own: EmbeddedStack) -> None:
    own.start()

    memory = own.answer("service", "status")["memory_bytes"]

    print(f"idle: {memory / 1e6:.0f} MB")
    assert memory < MOST_MEMORY


def test_a_step_that_does_not_come_up_is_named_and_the_rest_runs_on(own: EmbeddedStack) -> None:
    own.start()
    install_steps(own.packages, "broken", "raise RuntimeError('no engine')", {"broken": "Broken"})

    failed = own.run("service", "start")
    after = own.answer("service", "status")
    for file in (own.packages / "broken.py", *(own.packages / "broken-1.0.dist-info").iterdir()):
        file.unlink()
    own.start()

    assert failed.returncode == 4
    assert "step-broken keeps ending" in failed.stderr
    assert "no engine" in failed.stderr
    assert after["ready"]
    assert "step-broken" not in {process["name"] for process in own.answer("service", "status")["processes"]}


def test_stop_leaves_no_process(own: EmbeddedStack) -> None:
    own.start()
    everyone = [relative for member in members(own) for relative in family(member.pid)]

    receipt = own.answer("service", "stop")

    assert receipt["was_running"]
    assert receipt["killed"] == []
    assert not [member for member in everyone if member.alive]
    assert find(LocalSettings(state_dir=paths(own).root)) is None


async def _store(stack: "Stack", state: StatePaths) -> None:
    """A message and a node."""
    connection = await _bus(stack, state)
    await connection.jetstream().add_stream(name="kept", subjects=["kept"])
    await connection.jetstream().publish("kept", b"message")
    await connection.close()
    await _graph(stack, "CREATE (n:Kept {id: 1}) RETURN count(n)")


async def _stored(stack: "Stack", state: StatePaths) -> bool:
    connection = await _bus(stack, state)
    message = await connection.jetstream().get_last_msg("kept", "kept")
    await connection.jetstream().delete_stream("kept")
    await connection.close()
    return (message.data, await _graph(stack, "MATCH (n:Kept) DELETE n RETURN count(*)")) == (b"message", 1)


async def _bus(stack: "Stack", state: StatePaths) -> Connection:
    secret = (state.secrets / "nats.password").read_text()
    return await nats.connect(stack.nats_url, user="codestory", password=secret)


async def _graph(stack: "Stack", query: LiteralString) -> int:
    access = stack.neo4j
    async with neo4j.AsyncGraphDatabase.driver(access.uri, auth=(access.user, access.password)) as driver:
        found = await driver.execute_query(query, database_=access.database)
        return int(found.records[0][0])
