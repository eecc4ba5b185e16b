"""What a step says of its failure, and what its process writes, holds no secret of what it was reading."""

import asyncio
import sys

import pytest

from codestory.steps.child import failure
from codestory.steps.process import Child
from codestory.steps.step import StepError
from codestory.testing_secrets import corpus, hidden, private_key

SECRETS = [secret for secret in corpus() if secret.by_form]


def raised(error: Exception) -> Exception:
    """With its traceback."""
    try:
        raise error
    except type(error) as with_traceback:
        return with_traceback


@pytest.mark.parametrize("error", [StepError, ValueError])
def test_a_failure_says_no_secret(error: type[Exception]) -> None:
    said = "\n".join(secret.value for secret in SECRETS[:60])

    frame = failure(raised(error(f"cannot parse this:\n{said}\nend")))

    assert frame.message
    assert [hidden(secret) for secret in SECRETS if hidden(secret) in frame.message + frame.detail] == []


def test_a_secret_at_the_cut_of_a_long_message_leaves_no_half() -> None:
    token = next(secret.value for secret in SECRETS if secret.kind == "github_fine_grained")

    frames = [failure(StepError("x" * (4000 - shown) + " " + token)) for shown in range(2, len(token), 7)]

    assert [frame.message[-60:] for frame in frames if token[:20] in frame.message] == []


async def test_the_lines_of_a_steps_process_hold_no_secret() -> None:
    said = [*(secret.value for secret in SECRETS), *private_key().splitlines()]
    lines: list[str] = []

    child = await child_that_writes("\n".join(said))
    child.on_line = lines.append
    await child.process.wait()
    await child.kill(0)

    written = "\n".join(lines)
    assert len(lines) == len(said)
    assert [hidden(secret) for secret in SECRETS if hidden(secret) in written] == []
    assert not any(line in written for line in private_key().splitlines()[1:-1])


async def child_that_writes(text: str) -> Child:
    """A process of our own in the place of a step's; its socket to the host is a pipe that nothing comes through."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import sys; sys.stdout.write(sys.argv[1])", text),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    stream = await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
    return Child(process, stream)
