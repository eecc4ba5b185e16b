"""`codestory doctor` names what is wrong and what mends it, changes nothing, and works with nothing running."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response

from codestory.cli.doctor import machine, state
from codestory.cli.settings import CliSettings
from codestory.local import LocalSettings
from codestory.local.paths import StatePaths, state_paths
from codestory.local.plan import GraphAddress
from codestory.local.planning import version
from codestory.local.processes import identity
from codestory.local.record import ProcessRecord, StackRecord

Run = Callable[..., tuple[int, str, str]]
Found = dict[str, dict[str, str]]

HEALTH = {"status": "pass", "version": version(), "checks": {"nats": {"status": "pass"}}}
STEP = {"name": "filesystem", "version": "1", "workers": 1}


@pytest.fixture
def doctor(run: Run, answers: dict[str, Any]) -> Callable[[], tuple[int, Found]]:
    """What it finds, by name, and its exit code. The service is well unless the test says otherwise."""
    answers.setdefault("GET health", HEALTH)
    answers.setdefault("GET steps", {"steps": [STEP]})

    def examine() -> tuple[int, Found]:
        code, out, _ = run("doctor", "--json")
        answer = json.loads(out)
        assert answer["healthy"] == (code == 0)
        return code, {each["name"]: each for each in answer["findings"]}

    return examine


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    return state_paths(tmp_path / "state")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that could have been one of a stack."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin
    process.stdin.close()


def write_record(paths: StatePaths, *processes: ProcessRecord, pid: int, running_version: str = version()) -> None:
    paths.make()
    StackRecord(
        pid=pid,
        identity=identity(pid),
        started_at=0,
        version=running_version,
        python=sys.executable,
        url="http://127.0.0.1:9",
        config="",
        nats_url="",
        graph=GraphAddress("", "", ""),
        ports={},
        revision=1,
        processes=list(processes),
    ).write(paths.record)


def looked(paths: StatePaths, **settings: Any) -> Found:
    found = state.look(CliSettings(), LocalSettings(state_dir=paths.root, **settings))
    return {each.name: {"level": each.level, "said": each.said, "mend": each.mend} for each in found}


def test_where_nothing_is_wrong_it_says_so_and_leaves_nothing(
    doctor: Callable[[], tuple[int, Found]], paths: StatePaths
) -> None:
    code, found = doctor()

    assert code == 0, [each for each in found.values() if each["level"] == "fail"]
    assert found["service"]["level"] == found["step filesystem"]["level"] == "ok"
    assert not paths.root.exists()


def test_with_nothing_running_it_says_how_to_start(
    run: Run, monkeypatch: pytest.MonkeyPatch, paths: StatePaths
) -> None:
    monkeypatch.delenv("CODESTORY_URL")

    _, out, _ = run("doctor")

    assert "warn  service: none runs here" in out
    assert "→ codestory service start" in out
    assert not paths.root.exists()


def test_a_service_that_does_not_answer_is_a_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_URL", "http://127.0.0.1:9")

    code, out, _ = run("doctor")

    assert code == 1
    assert "fail  service: No Code Story service answers" in out


def test_what_the_service_says_of_itself_is_passed_on_with_what_mends_it(
    doctor: Callable[[], tuple[int, Found]], answers: dict[str, Any]
) -> None:
    health = {
        "status": "fail",
        "version": "0.0.1",
        "checks": {"graph": {"status": "fail", "detail": "away"}, "workers:filesystem": {"status": "pass"}},
    }
    problem = {"title": "No", "status": 503, "code": "unhealthy", "detail": "graph: away", "health": health}
    answers["GET health"] = Response(json.dumps(problem), 503, media_type="application/problem+json")
    answers["GET steps"] = {"steps": [STEP | {"workers": 0, "waiting": 3}]}

    code, found = doctor()

    assert code == 1
    assert found["graph"] == {
        "name": "graph",
        "level": "fail",
        "said": "away",
        "mend": "codestory service logs graph",
    }
    assert found["service"]["level"] == "warn"
    assert "0.0.1" in found["service"]["said"]
    assert found["step filesystem"]["level"] == "fail"
    assert "codestory-step filesystem" in found["step filesystem"]["mend"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_taken_is_named(
    doctor: Callable[[], tuple[int, Found]], answers: dict[str, Any], status: int
) -> None:
    problem = {"title": "No", "status": status, "code": "no", "detail": "Not you."}
    answers["GET steps"] = Response(json.dumps(problem), status, media_type="application/problem+json")

    code, found = doctor()

    assert code == 1
    assert found["access"]["level"] == "fail"
    assert "codestory auth" in found["access"]["mend"]


def test_a_setting_that_is_wrong_is_a_finding_and_the_rest_is_looked_at(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESTORY_PORT", "many")
    monkeypatch.setenv("CODESTORY_DOCTOR_SECONDS", "-1")

    code, out, _ = run("doctor")

    assert code == 1
    assert "CODESTORY_PORT" in out
    assert "CODESTORY_DOCTOR_SECONDS" in out
    assert "ok    python" in out


def test_a_state_directory_that_others_can_read_or_that_is_none_is_named(paths: StatePaths, tmp_path: Path) -> None:
    paths.make()
    paths.root.chmod(0o755)
    (tmp_path / "file").write_text("")

    assert looked(paths)["state"]["mend"] == f"chmod 700 {paths.root}"
    assert looked(state_paths(tmp_path / "file"))["state"]["level"] == "fail"


def test_a_full_disk_is_a_failure(paths: StatePaths) -> None:
    found = state.look(CliSettings(doctor_free_bytes=2**62), LocalSettings(state_dir=paths.root))

    assert {each.name: each.level for each in found}["disk"] == "fail"


def test_a_port_that_is_taken_is_named(paths: StatePaths) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert looked(paths, port=port)["port"]["level"] == "fail"


def test_processes_of_a_supervisor_that_is_gone_are_named(
    paths: StatePaths, sleeper: "subprocess.Popen[bytes]"
) -> None:
    write_record(paths, ProcessRecord("nats", "running", sleeper.pid, identity(sleeper.pid)), pid=2**22 + 1)

    found = looked(paths)["stack"]

    assert (found["level"], found["mend"]) == ("fail", "codestory service stop")
    assert f"nats (pid {sleeper.pid})" in found["said"]


def test_a_record_of_a_stack_that_was_killed_is_named(paths: StatePaths) -> None:
    write_record(paths, pid=2**22 + 1)

    assert looked(paths)["stack"]["level"] == "warn"
    assert "stale" in looked(paths)["stack"]["said"]


def test_a_process_that_keeps_ending_is_named_with_its_log(paths: StatePaths) -> None:
    ill = ProcessRecord("step-blarify", "restarting", failures=5, exit_code=1)
    write_record(paths, ill, pid=os.getpid())

    found = looked(paths)

    assert found["step-blarify"]["level"] == "fail"
    assert found["step-blarify"]["mend"] == "codestory service logs step-blarify"


@pytest.mark.parametrize(("running", "level"), [("0.0.1", "warn"), ("99.0", "fail")])
def test_another_versions_stack_is_named(paths: StatePaths, running: str, level: str) -> None:
    write_record(paths, pid=os.getpid(), running_version=running)

    assert looked(paths)["stack"]["level"] == level


def test_what_the_blarify_step_lacks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CODESTORY_BLARIFY_PYTHON", str(tmp_path / "python"))

    found = {each.name: each for each in machine.look(CliSettings())}

    assert found["blarify"].level == "fail"
    assert "CODESTORY_BLARIFY_PYTHON" in found["blarify"].mend
