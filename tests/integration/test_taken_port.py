"""A service whose port another has says so and ends, before it takes part in anything."""

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from codestory.testing import executable


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("command", "host", "port"),
    [
        (["codestory-orchestrator"], "CODESTORY_HOST", "CODESTORY_PORT"),
        (["codestory-step", "filesystem"], "CODESTORY_PROBE_HOST", "CODESTORY_PROBE_PORT"),
    ],
)
def test_a_taken_port_is_said_with_its_setting(command: list[str], host: str, port: str, taken: int) -> None:
    program, *arguments = command
    ended = subprocess.run(
        [executable(program), *arguments],
        env={**os.environ, port: str(taken), "CODESTORY_NATS_URL": "nats://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{program}: {host}=127.0.0.1 {port}={taken} cannot be listened on: Address already in use")
    assert (ended.returncode, ended.stdout) == (1, "")
