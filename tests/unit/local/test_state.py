"""The state directory: private, whole files, ports and passwords that are kept."""

import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from codestory.local.errors import BadSetting, StateUnusable
from codestory.local.files import write_private
from codestory.local.passwords import password
from codestory.local.paths import state_paths
from codestory.local.plan import GraphAddress, Plan, ProcessSpec
from codestory.local.ports import QUIET, choose
from codestory.local.processes import identity
from codestory.local.record import ProcessRecord, StackRecord


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_state_directory_is_the_users_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert sys.platform != "linux" or state_paths(None).root == tmp_path / "codestory"
    assert state_paths(tmp_path / "own").root == tmp_path / "own"


def test_directories_are_for_this_user_alone(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    paths = state_paths(tmp_path / "state")

    paths.make()
    paths.make()

    assert {mode(folder) for folder in (paths.root, paths.secrets, paths.nats, paths.graph, paths.logs)} == {0o700}


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    paths = state_paths(tmp_path / "file" / "state")

    with pytest.raises(StateUnusable, match="CODESTORY_STATE_DIR"):
        paths.make()


def test_a_password_is_made_once_and_read_by_this_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    first, again = password(file), password(file)

    assert first == again
    assert len(first) >= 32
    assert mode(file) == 0o600


def test_a_password_file_that_others_can_read_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("known")
    file.chmod(0o644)

    assert password(file) == "known"
    assert mode(file) == 0o600


def test_an_empty_password_file_gets_a_password(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")

    assert password(tmp_path / "secret")


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_private(tmp_path / "file", "one")
    write_private(tmp_path / "file", "two")

    assert (tmp_path / "file").read_text() == "two"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert mode(tmp_path / "file") == 0o600


def test_ports_are_free_distinct_and_kept(tmp_path: Path) -> None:
    first = choose(["a", "b"], tmp_path / "ports.json", {})
    again = choose(["a", "b"], tmp_path / "ports.json", {})

    assert first == again
    assert first["a"] != first["b"]
    assert set(first.values()) <= set(QUIET)


def test_a_port_that_is_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    first = choose(["a"], tmp_path / "ports.json", {})
    with socket.create_server(("127.0.0.1", first["a"])):
        second = choose(["a"], tmp_path / "ports.json", {})

    assert second["a"] != first["a"]


def test_a_wished_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(BadSetting, match=f"port {port}"):
            choose(["a"], tmp_path / "ports.json", {"a": port})


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '{"a": "x"}', '{"a": null}'])
def test_unreadable_ports_are_chosen_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)

    assert choose(["a"], tmp_path / "ports.json", {})["a"] > 0


def plan() -> Plan:
    spec = ProcessSpec("nats", ("nats-server", "-c", "x"), {"A": "1"}, stage=0, port=1, greeting="INFO ")
    return Plan("1.0", "/python", (spec,), graph=GraphAddress("bolt://x", "root", "neo4j", "/file"), ports={"rest": 2})


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan().write(tmp_path / "plan.json")

    assert Plan.read(tmp_path / "plan.json") == plan()


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = StackRecord.of(plan(), pid=1, identity="x", started_at=2.0)
    record.processes = [ProcessRecord("nats", "running", 3, "y", exit_code=-9)]

    record.write(tmp_path / "stack.json")

    assert StackRecord.read(tmp_path / "stack.json") == record


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"pid": 1}), '{"graph": {}, "processes": 1}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)

    assert StackRecord.read(tmp_path / "stack.json") is None


def test_a_record_of_a_reused_pid_is_not_alive() -> None:
    mine = os.getpid()

    assert StackRecord.of(plan(), pid=mine, identity=identity(mine), started_at=0).alive
    assert not StackRecord.of(plan(), pid=mine, identity="another boot:1", started_at=0).alive
    assert not StackRecord.of(plan(), pid=0, identity="", started_at=0).alive
