"""Many summaries at once: tokens add up, storms cost little, the budget holds, this machine needs no proxy."""

import asyncio
import time
from collections.abc import Callable

import pytest

from codestory.step_errors import StepError
from codestory.testing import wait_until
from codestory.testing_models import (
    Answer,
    ModelServer,
    Rules,
    failing,
    filtered_answer,
    filtered_prompt,
    garbage,
    throttled,
)
from codestory_summarizer.provider import Filtered, Reply, Unanswered, Usage
from codestory_summarizer.providers.chat import ChatProvider
from codestory_summarizer.subject import Subject

Make = Callable[..., ChatProvider]
MakeSubject = Callable[..., Subject]


async def all_of(made: ChatProvider, subjects: list[Subject], parallel: int) -> list[Reply | BaseException]:
    """As the step asks: so many at once, each as soon as another is done."""
    gate = asyncio.Semaphore(parallel)

    async def one(subject: Subject) -> Reply:
        async with gate:
            return await made.summarize(subject)

    return await asyncio.gather(*map(one, subjects), return_exceptions=True)


def spent(outcomes: list[Reply | BaseException]) -> Usage:
    usage = Usage()
    for outcome in outcomes:
        assert isinstance(outcome, Reply | Filtered | Unanswered), outcome
        usage += outcome.usage
    return usage


async def test_the_tokens_add_up_to_what_the_server_told(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    trouble = [
        throttled(milliseconds=5),
        failing(500),
        filtered_prompt("hate"),
        filtered_answer("violence"),
        garbage(),
        Answer(broken=True),
        Answer(finish="length"),
        Answer(text=" "),
    ]
    server.answer(*(answer for one in trouble for answer in (one, Answer(), Answer())))

    outcomes = await all_of(provider(), [subject(number) for number in range(40)], parallel=5)

    told = server.totals
    assert spent(outcomes) == Usage(told.input, told.cached, told.output)
    assert sum(isinstance(outcome, Filtered) for outcome in outcomes) == 2


@pytest.mark.parametrize("rules", [Rules(limit=(20, 0.25))])
async def test_a_storm_of_refusals_costs_a_fifth_more_calls_at_most(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    outcomes = await all_of(provider(), [subject(number) for number in range(150)], parallel=8)

    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    assert len(server.requests) <= 1.2 * 150


async def test_calls_are_spread_as_the_budget_says(server: ModelServer, provider: Make, subject: MakeSubject) -> None:
    made = provider(llm_requests_per_minute=60 * 50)
    start = time.time()

    await all_of(made, [subject(number) for number in range(20)], parallel=10)

    assert server.requests[-1].at - start >= 0.9 * 19 / 50


async def test_tokens_are_reserved_before_they_are_used(provider: Make, subject: MakeSubject, budget: object) -> None:
    made = provider(llm_tokens_per_minute=6_000_000)

    await made.summarize(subject())

    assert getattr(budget, "reserved", None) == [{"tokens": made.tokens(subject())}]


async def test_this_machine_is_reached_without_a_proxy(
    server: ModelServer, provider: Make, subject: MakeSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    await provider(llm_attempts=1).summarize(subject())

    assert len(server.requests) == 1


async def test_a_call_that_is_cancelled_leaves_its_slot(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    made = provider()
    server.answer(throttled(milliseconds=1), Answer(before=30))
    task = asyncio.create_task(made.summarize(subject(1)))

    async def waits_in_the_only_slot() -> bool:
        return server.arrived == 2

    await wait_until(waits_in_the_only_slot, "the second try has arrived")
    task.cancel()
    await asyncio.wait([task])
    reply = await made.summarize(subject(2))

    assert task.cancelled()
    assert reply.text


async def test_refused_credentials_stop_the_step_at_once(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    outcomes = await all_of(provider("azure", azure_api_key="wrong"), [subject(n) for n in range(3)], parallel=3)

    assert all(isinstance(outcome, StepError) for outcome in outcomes)
    assert {request.status for request in server.requests} == {401}
    assert len(server.requests) == 3
