"""How both clients say who they are, to the real API behind real keys."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from codestory.client import AsyncClient, BadCredentials, Client, Forbidden, NotFound, Unauthorized
from codestory.contracts.values import JobState
from codestory_orchestrator.testing_access import TEAM, KeysFile, guarded
from codestory_orchestrator.testing_api import JOB, ScriptedIngestion

Serve = Callable[[FastAPI], str]
Ask = Callable[..., Any]


@pytest.fixture
def keys(tmp_path: Path) -> KeysFile:
    return KeysFile(tmp_path / "keys.json")


@pytest.fixture
def url(serve: Serve, keys: KeysFile) -> str:
    ingestion = ScriptedIngestion()
    ingestion.whose[JOB] = TEAM
    ingestion.state = JobState.COMPLETED
    return serve(guarded(keys.door(), ingestion))


def _sync(url: str, verb: str, *arguments: Any, **who: Any) -> Any:
    with Client(url, **who) as client:
        return getattr(client, verb)(*arguments)


def _async(url: str, verb: str, *arguments: Any, **who: Any) -> Any:
    async def asking() -> Any:
        async with AsyncClient(url, **who) as client:
            return await getattr(client, verb)(*arguments)

    return asyncio.run(asking())


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


def test_a_key_opens_what_its_role_may(ask: Ask, url: str, keys: KeysFile) -> None:
    assert ask(url, "get", JOB, api_key=keys.shown("viewer")).id == JOB
    with pytest.raises(Forbidden):
        ask(url, "cancel", JOB, api_key=keys.shown("viewer"))
    with pytest.raises(NotFound):
        ask(url, "get", JOB, api_key=keys.shown("other"))


def test_nobody_and_nobody_known_are_told_apart_from_who_may_not(ask: Ask, url: str, keys: KeysFile) -> None:
    for who in ({}, {"api_key": ""}, {"api_key": keys.shown("expired")}, {"token": "a.b.c"}):
        with pytest.raises(Unauthorized):
            ask(url, "get", JOB, **who)


def test_a_job_is_watched_with_the_key(ask: Ask, url: str, keys: KeysFile) -> None:
    assert ask(url, "wait", JOB, api_key=keys.shown("viewer")).id == JOB
    with pytest.raises(Unauthorized):
        ask(url, "wait", JOB)


def test_the_environment_says_who_we_are_where_the_program_does_not(
    ask: Ask, url: str, keys: KeysFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CODESTORY_API_KEY", keys.shown("viewer"))
    assert ask(url, "get", JOB).id == JOB
    with pytest.raises(Unauthorized):
        ask(url, "get", JOB, api_key="")

    (tmp_path / "key").write_text(f"{keys.shown('operator')}\n")
    monkeypatch.setenv("CODESTORY_API_KEY_FILE", str(tmp_path / "key"))
    assert ask(url, "cancel", JOB).id == JOB

    monkeypatch.setenv("CODESTORY_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(BadCredentials, match="CODESTORY_API_KEY_FILE"):
        ask(url, "get", JOB)


def test_a_token_may_be_asked_for_at_each_request(ask: Ask, url: str, keys: KeysFile) -> None:
    assert ask(url, "get", JOB, token=lambda: keys.shown("viewer")).id == JOB


def test_the_asynchronous_client_also_awaits_a_token(url: str, keys: KeysFile) -> None:
    async def given() -> str:
        return keys.shown("viewer")

    waiting: Callable[[], Awaitable[str]] = given
    assert _async(url, "get", JOB, token=waiting).id == JOB
    assert _async(url, "wait", JOB, token=waiting).id == JOB


@pytest.mark.parametrize(
    "who",
    [{"api_key": "a\r\nX-Evil: 1"}, {"api_key": "a key"}, {"api_key": "schlüssel"}, {"api_key": "a", "token": "b"}],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(ask: Ask, url: str, who: dict[str, str]) -> None:
    with pytest.raises(BadCredentials):
        ask(url, "get", JOB, **who)
