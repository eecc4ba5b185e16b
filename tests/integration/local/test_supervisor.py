"""The supervisor with small real programs: restarts, plans that change, ends, and its own sudden death."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codestory.local import AnotherVersion, BadSetting, LocalSettings, find, launcher, service_url, start
from codestory.local.errors import NotReady, StateUnusable
from codestory.local.plan import SERVERS, Pace, Plan, ProcessSpec
from codestory.local.planning import version
from codestory.local.processes import Member, identity
from codestory.local.readiness import wait_ready
from codestory.local.record import StackRecord
from codestory.testing import free_port

if TYPE_CHECKING:
    from conftest import Stand

PACE = Pace(stop_grace=2, restart=0.05, restart_max=0.2, look=0.2)

#: Ends at once when it is asked to.
SLEEP = ("sleep", "3600")
#: Must be killed.
STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 1 & wait; done")

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans back to the supervisor")


def sleeper(name: str, version: str = "") -> ProcessSpec:
    return ProcessSpec(name, SLEEP, version=version)


def shell(name: str, script: str, stage: int = 1) -> ProcessSpec:
    return ProcessSpec(name, ("sh", "-c", script), stage=stage)


@pytest.fixture
def stranger() -> Iterator[Member]:
    """A process that is none of ours."""
    process = subprocess.Popen(SLEEP)
    yield Member(process.pid, identity(process.pid))
    process.kill()
    process.wait()


def test_what_is_killed_is_started_again(stand: "Stand") -> None:
    stand.launch(sleeper("a"), sleeper("b"), python=sys.executable)
    first, other = stand.running("a"), stand.running("b")

    os.kill(first.pid, signal.SIGKILL)
    stand.until(lambda: stand.process("a").restarts == 1 and stand.process("a").state == "running", "a runs again")

    assert stand.process("a").pid != first.pid
    assert stand.process("a").exit_code == -signal.SIGKILL
    assert stand.process("b") == other


def test_what_keeps_dying_is_named_with_its_last_words(stand: "Stand") -> None:
    stand.launch(shell("a", "echo the reason; exit 7"), python=sys.executable)

    with pytest.raises(NotReady, match=r"(?s)a keeps ending \(exit code 7\).*the reason.*a\.log") as raised:
        wait_ready(stand.paths, stand.plan, seconds=60, poll=0.02, say=lambda _: None)

    assert raised.value.process == "a"


def test_a_program_that_cannot_be_started_is_named(stand: "Stand") -> None:
    stand.launch(ProcessSpec("a", ("/no/such/program",)), python=sys.executable)

    with pytest.raises(NotReady, match="/no/such/program cannot be started"):
        wait_ready(stand.paths, stand.plan, seconds=60, poll=0.02, say=lambda _: None)


def test_a_service_waits_until_the_servers_answer(stand: "Stand", tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    program = (
        "import socket, sys\n"
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True:\n"
        "    c = s.accept()[0]; c.sendall(b'HELLO you'); c.close(); open(sys.argv[2], 'w').close()\n"
    )
    port = free_port()
    server = ProcessSpec(
        "server", (sys.executable, "-c", program, str(port), str(port_file)), stage=SERVERS, port=port, greeting="HELLO"
    )

    stand.launch(sleeper("service"), server, python=sys.executable)
    stand.running("service")

    assert port_file.exists()
    assert stand.process("server").state == "running"


def test_stop_leaves_no_process_and_names_what_it_had_to_kill(stand: "Stand") -> None:
    stand.launch(sleeper("a"), ProcessSpec("b", STUBBORN), python=sys.executable)
    stand.running("a")
    stand.running("b")

    receipt = stand.stop()

    assert receipt.was_running
    assert set(receipt.stopped) == {"a", "b"}
    assert receipt.killed == ("b",)
    assert not stand.left()
    assert not stand.paths.record.exists()


def test_stop_ends_what_a_service_started_even_in_a_session_of_its_own(stand: "Stand", tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    stand.launch(shell("a", f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 3600' & wait"), python=sys.executable)
    grandchild = _written(stand, pid_file)

    stand.stop()

    stand.until(lambda: not grandchild.alive, "the grandchild is gone")


@linux
def test_a_service_that_dies_takes_what_it_started_with_it(stand: "Stand", tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    stand.launch(shell("a", f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 3600' & wait"), python=sys.executable)
    grandchild = _written(stand, pid_file)

    os.kill(stand.process("a").pid, signal.SIGKILL)

    stand.until(lambda: not grandchild.alive, "the grandchild is gone")


def test_a_suspended_service_can_be_stopped(stand: "Stand") -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    os.kill(stand.running("a").pid, signal.SIGSTOP)

    receipt = stand.stop()

    assert receipt.killed == ()
    assert not stand.left()


def test_a_changed_plan_starts_stops_and_replaces_only_what_differs(stand: "Stand") -> None:
    stand.launch(sleeper("kept"), sleeper("renewed", "1"), sleeper("removed"), python=sys.executable)
    kept, renewed, removed = (stand.running(name) for name in ("kept", "renewed", "removed"))

    stand.change(sleeper("kept"), sleeper("renewed", "2"), sleeper("added"))
    stand.running("added")

    assert {process.name for process in stand.record().processes} == {"kept", "renewed", "added"}
    assert stand.running("kept").pid == kept.pid
    assert stand.running("renewed").pid != renewed.pid
    assert not Member(removed.pid, removed.identity).alive


def test_a_changed_plan_ends_the_wait_before_a_restart(stand: "Stand", tmp_path: Path) -> None:
    cause = tmp_path / "cause"
    spec = shell("a", f"test -e {cause} && exec sleep 3600; exit 1")
    stand.launch(spec, python=sys.executable, pace=Pace(stop_grace=2, restart=3000, restart_max=3000))
    stand.until(lambda: stand.process("a").state == "restarting", "a waits")

    cause.touch()
    stand.change(spec)

    stand.running("a")


def test_a_killed_supervisor_leaves_nothing_that_the_next_start_does_not_end(stand: "Stand") -> None:
    stand.launch(sleeper("a"), ProcessSpec("b", STUBBORN), python=sys.executable)
    old = [stand.running("a"), stand.running("b")]

    os.kill(stand.record().pid, signal.SIGKILL)
    stand.until(lambda: launcher.running(stand.paths) is None, "the supervisor is gone")
    stand.relaunch()

    assert not any(Member(process.pid, process.identity).alive for process in old)
    assert stand.running("a").pid not in {process.pid for process in old}
    stand.running("b")


@linux
def test_services_do_not_outlive_a_killed_supervisor(stand: "Stand") -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    process = stand.running("a")

    os.kill(stand.record().pid, signal.SIGKILL)

    stand.until(lambda: not process.alive, "a is gone")


def test_a_record_of_before_a_reboot_ends_nobody_elses_process(stand: "Stand", stranger: Member) -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    record = stand.record()
    stand.stop()
    record.pid, record.processes[0].pid = stranger.pid, stranger.pid
    record.write(stand.paths.record)

    assert launcher.running(stand.paths) is None
    stand.relaunch()

    assert stranger.alive
    stand.running("a")


def test_a_supervisor_that_lost_its_record_ends_before_another_begins(stand: "Stand") -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    first = stand.running("a")

    stand.paths.record.unlink()
    stand.relaunch()

    assert not first.alive
    stand.running("a")


def test_two_supervisors_never_share_a_state_directory(stand: "Stand") -> None:
    pace = Pace(stop_grace=0.1, look=0.1)
    stand.launch(sleeper("a"), python=sys.executable, pace=pace)
    first = stand.running("a")
    command = [sys.executable, "-m", "codestory.local.supervisor", str(stand.paths.root)]

    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert second.returncode == 3
    assert "another supervisor" in second.stderr
    assert stand.running("a") == first


def test_a_supervisor_whose_state_directory_is_taken_away_ends(stand: "Stand") -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    stand.running("a")

    shutil.rmtree(stand.paths.root)

    stand.until(lambda: not stand.left(), "everything is gone")


def test_a_suspended_supervisor_is_ended_all_the_same(stand: "Stand") -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    stand.running("a")
    os.kill(stand.record().pid, signal.SIGSTOP)

    receipt = stand.stop()

    assert receipt.was_running
    assert not stand.left()


def test_output_is_logged_within_its_bounds(stand: "Stand") -> None:
    pace = Pace(stop_grace=2, log_max_bytes=10_000, log_files=2)
    stand.launch(
        shell("a", "yes words | head -c 1000000; echo the end >&2; exec sleep 3600"), python=sys.executable, pace=pace
    )

    stand.until(lambda: "the end" in stand.said("a"), "all is written")

    sizes = [file.stat().st_size for file in stand.paths.logs.glob("a.log*")]
    assert len(sizes) == 2
    assert max(sizes) <= 10_000


def test_a_plan_that_cannot_be_read_changes_nothing(stand: "Stand") -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    before = stand.running("a")

    stand.paths.plan.write_text("nonsense")
    os.kill(stand.record().pid, signal.SIGHUP)
    stand.until(lambda: "plan.unreadable" in stand.said("supervisor"), "it was looked at")

    assert stand.running("a") == before


def test_a_supervisor_that_cannot_start_says_why(stand: "Stand") -> None:
    stand.plan = Plan("1.0", "/no/such/python", ())

    with pytest.raises(NotReady, match="/no/such/python"):
        stand.relaunch()


def test_whoever_starts_or_stops_waits_for_the_other(stand: "Stand") -> None:
    started = time.monotonic()

    with (
        launcher.exclusive(stand.paths, 1),
        pytest.raises(StateUnusable, match="another process"),
        launcher.exclusive(stand.paths, 0.1),
    ):
        pass

    assert time.monotonic() - started < 30


def test_a_newer_versions_stack_is_named_and_left_alone(stand: "Stand") -> None:
    stand.launch(sleeper("a"), python=sys.executable)
    before = stand.running("a")

    with pytest.raises(AnotherVersion, match=rf"Code Story 1\.0 is running.*this is {version()}, which is older"):
        start(settings=LocalSettings(state_dir=stand.paths.root))

    assert stand.running("a") == before


def test_an_older_versions_stack_that_does_not_say_whether_it_is_idle_is_left_alone(stand: "Stand") -> None:
    stand.plan = Plan(
        "0.0.1",
        sys.executable,
        (sleeper("a"),),
        url=f"http://127.0.0.1:{free_port()}",
        ports={"nats": 1, "bolt": 2},
        pace=PACE,
    )
    stand.relaunch()
    before = stand.running("a")

    with pytest.raises(AnotherVersion, match=r"does not tell whether .*service stop && codestory service start"):
        start(settings=LocalSettings(state_dir=stand.paths.root))

    assert stand.running("a") == before


def test_an_older_stack_with_servers_of_its_own_makes_no_way_for_one_that_would_not_find_them(stand: "Stand") -> None:
    stand.plan = Plan(
        "0.0.1", sys.executable, (sleeper("a"),), nats_url="nats://elsewhere:4222", ports={"bolt": 2}, pace=PACE
    )
    stand.relaunch()

    with pytest.raises(BadSetting, match="set CODESTORY_NATS_URL=nats://elsewhere:4222"):
        start(settings=LocalSettings(state_dir=stand.paths.root))


def test_a_stack_that_is_coming_up_is_found_but_is_no_service_yet(stand: "Stand") -> None:
    stand.plan = Plan("1.0", sys.executable, (sleeper("a"),), url=f"http://127.0.0.1:{free_port()}", pace=PACE)
    stand.relaunch()
    settings = LocalSettings(state_dir=stand.paths.root)

    stack = find(settings)

    assert stack is not None
    assert stack.url == stand.plan.url
    assert service_url(settings) is None


def test_the_supervisor_is_small() -> None:
    heavy = ["pydantic", "httpx", "rich", "typer", "neo4j", "nats", "fastapi"]
    asked = f"import sys, codestory.local.supervisor; print([n for n in {heavy} if n in sys.modules])"

    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)

    assert ran.stdout.strip() == "[]"


def test_a_record_is_always_whole(stand: "Stand") -> None:
    stand.launch(shell("a", "exit 1"), python=sys.executable, pace=Pace(restart=0.001, restart_max=0.001))

    reads = [StackRecord.read(stand.paths.record) for _ in range(200)]

    assert all(reads)


def _written(stand: "Stand", pid_file: Path) -> Member:
    stand.until(lambda: pid_file.exists() and pid_file.read_text().strip() != "", "the grandchild runs")
    pid = int(pid_file.read_text())
    return Member(pid, identity(pid))
