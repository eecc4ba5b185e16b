"""The model server as a process of its own, as end-to-end tests use it."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from codestory.testing import Processes, wait_until
from codestory.testing_models import Answer, failing


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Path]:
    """Where the process writes its address to."""
    with Processes({}, tmp_path / "log") as processes:
        processes.start(sys.executable, "-m", "codestory.testing_models", "--key", "k")
        yield tmp_path / "log"


async def test_a_process_is_told_how_to_answer_and_says_what_it_was_asked(process: Path) -> None:
    async def has_said_its_address() -> bool:
        return process.read_text().endswith("\n")  # noqa: ASYNC240  # a line of a local file

    await wait_until(has_said_its_address, "the server has said its address")
    address = process.read_text().strip()  # noqa: ASYNC240  # same
    about = {"three": asdict(failing(503))}
    async with httpx.AsyncClient(base_url=address, headers={"Authorization": "Bearer k"}) as client:
        await client.post("/_answers", json={"next": [asdict(Answer(text="Hello."))], "about": about})

        first = await client.post("/v1/chat/completions", json=asking("one two"))
        second = await client.post("/v1/chat/completions", json=asking("three"))
        asked, totals = (await client.get("/_requests")).json(), (await client.get("/_totals")).json()

    assert first.json()["choices"][0]["message"]["content"] == "Hello."
    assert second.status_code == 503
    assert [request["status"] for request in asked] == [200, 503]
    assert totals == {"input": 2, "cached": 2, "output": 1, "completions": 1, "others": 1}


def asking(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}
