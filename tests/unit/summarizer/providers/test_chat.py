"""One summary by an endpoint that answers well, late, wrongly or not at all."""

import asyncio
import json
from collections.abc import Callable

import pytest

from codestory.step_errors import StepError, TemporaryStepError
from codestory.testing_models import (
    Answer,
    ModelServer,
    Rules,
    failing,
    filtered_answer,
    filtered_prompt,
    garbage,
    in_seconds,
    refusing,
    throttled,
    too_long,
)
from codestory_summarizer import prompt
from codestory_summarizer.provider import Filtered, Reply, Unanswered, Usage
from codestory_summarizer.providers.chat import GARBAGE_TRIES, HALVINGS, SILENCE, ChatProvider
from codestory_summarizer.subject import Related, Subject

Make = Callable[..., ChatProvider]
MakeSubject = Callable[..., Subject]


@pytest.mark.parametrize(
    ("name", "version", "path"),
    [
        ("openai", "", "/v1/chat/completions"),
        ("azure", "", "/openai/v1/chat/completions"),
        ("azure", "2024-10-21", "/openai/deployments/m/chat/completions?api-version=2024-10-21"),
    ],
)
async def test_each_form_of_address_is_answered(
    server: ModelServer, provider: Make, name: str, version: str, path: str
) -> None:
    reply = await provider(name, azure_api_version=version).summarize(Subject("function", "f", "f.py", code="f"))

    [request] = server.requests
    assert (request.path, request.status, request.body["model"]) == (path, 200, "m")
    assert reply.text.startswith("Summary ")
    assert reply.usage == Usage(server.totals.input, server.totals.cached, server.totals.output)
    assert not reply.truncated
    assert not reply.shortened


async def test_a_wrong_key_is_named_by_its_setting(provider: Make, subject: MakeSubject) -> None:
    with pytest.raises(StepError, match="CODESTORY_OPENAI_API_KEY"):
        await provider(openai_api_key="other").summarize(subject())


@pytest.mark.parametrize("rules", [Rules(key="")])
async def test_a_server_that_wants_no_key_is_sent_none(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    await provider(openai_api_key="").summarize(subject())

    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    "failure",
    [
        throttled("0"),
        throttled(milliseconds=10),
        throttled(in_seconds(-5)),
        throttled(),
        throttled(milliseconds=10, status=503),
        failing(408),
        failing(409),
        failing(500),
        failing(502),
        failing(503, ""),
        Answer(broken=True),
        Answer(status=500, body="<html>Bad gateway</html>", content_type="text/html"),
    ],
)
async def test_what_passes_is_asked_again(
    server: ModelServer, provider: Make, subject: MakeSubject, failure: Answer
) -> None:
    server.answer(failure, failure)

    reply = await provider().summarize(subject())

    assert reply.text
    assert len(server.requests) == 3


async def test_a_wait_that_is_asked_for_is_kept_by_all_workers(
    server: ModelServer, provider: Make, subject: MakeSubject, budget: object
) -> None:
    server.answer(throttled("9", milliseconds=200))

    await provider().summarize(subject())

    first, second = server.requests
    assert second.at - first.at >= 0.2
    assert getattr(budget, "held", None) == [0.2]


async def test_a_long_wait_is_left_to_the_step(server: ModelServer, provider: Make, subject: MakeSubject) -> None:
    server.answer(throttled("300"))

    with pytest.raises(TemporaryStepError, match="300 s"):
        await provider().summarize(subject())

    assert len(server.requests) == 1


@pytest.mark.parametrize("failure", [throttled(milliseconds=1), failing(500), Answer(broken=True)])
async def test_an_endpoint_that_stays_away_is_tried_again_later(
    server: ModelServer, provider: Make, subject: MakeSubject, failure: Answer
) -> None:
    server.always(failure)

    with pytest.raises(TemporaryStepError, match="no answer in 3 tries"):
        await provider(llm_attempts=3).summarize(subject())

    assert len(server.requests) == 3


async def test_nobody_listening_is_tried_again_later(server: ModelServer, provider: Make, subject: MakeSubject) -> None:
    made = provider(llm_attempts=2)
    server.close()

    with pytest.raises(TemporaryStepError, match="ConnectError"):
        await made.summarize(subject())


async def test_an_error_that_only_one_subject_meets_is_its_own(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    server.answer_about("work_1", failing(500))
    made = provider(llm_attempts=20)

    outcomes = await asyncio.gather(made.summarize(subject(1)), made.summarize(subject(2)), return_exceptions=True)

    assert isinstance(outcomes[0], Unanswered)
    assert isinstance(outcomes[1], Reply)


@pytest.mark.parametrize("slow", [Answer(before=30), Answer(between=30)])
async def test_a_call_that_takes_too_long_is_given_up(
    server: ModelServer, provider: Make, subject: MakeSubject, slow: Answer
) -> None:
    server.answer(slow)

    reply = await provider(llm_timeout=0.2).summarize(subject())

    assert reply.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (garbage(), "not JSON .application/json"),
        (garbage("<html>Log in</html>", "text/html; charset=utf-8"), "not JSON .text/html"),
        (garbage("{}"), "not a chat completion"),
        (garbage('{"choices": [{"message": {"content": ""}}]}'), "no text"),
        (garbage(json.dumps({"choices": "x" * 2_000_000})), "larger than"),
    ],
)
async def test_garbage_is_asked_for_again_a_little_and_then_named(
    server: ModelServer, provider: Make, subject: MakeSubject, answer: Answer, reason: str
) -> None:
    server.always(answer)

    with pytest.raises(Unanswered, match=reason):
        await provider().summarize(subject())

    assert len(server.requests) == GARBAGE_TRIES


async def test_what_garbage_says_it_cost_is_counted(server: ModelServer, provider: Make, subject: MakeSubject) -> None:
    server.answer(garbage('{"choices": [], "usage": {"prompt_tokens": 1000}}'))

    reply = await provider().summarize(subject())

    assert reply.usage.input == 1000 + server.totals.input


async def test_an_endpoint_that_never_answers_usefully_stops_the_step(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    made = provider()
    server.always(refusing(422, "bad", "No."))
    for number in range(SILENCE - 1):
        with pytest.raises(Unanswered):
            await made.summarize(subject(number))

    with pytest.raises(StepError, match="CODESTORY_OPENAI_URL"):
        await made.summarize(subject())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (filtered_prompt("violence", "jailbreak"), "jailbreak, violence"),
        (filtered_answer("hate"), "hate"),
        (filtered_answer(), "no category named"),
        (refusing(400, "content_policy_violation", "Your request was rejected."), "no category named"),
        (garbage('{"choices": [{"message": {"refusal": "I cannot."}, "finish_reason": "stop"}]}'), "declined"),
    ],
)
async def test_what_the_filter_refuses_is_named_and_not_asked_again(
    server: ModelServer, provider: Make, subject: MakeSubject, answer: Answer, reason: str
) -> None:
    server.answer(answer)

    with pytest.raises(Filtered, match=reason):
        await provider("azure").summarize(subject())

    assert len(server.requests) == 1


async def test_a_filtered_answer_is_paid_for_all_the_same(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    server.answer(filtered_answer("hate"))

    with pytest.raises(Filtered) as filtered:
        await provider("azure").summarize(subject())

    assert filtered.value.usage.input == server.totals.input > 0


async def test_an_answer_that_was_cut_says_so(server: ModelServer, provider: Make, subject: MakeSubject) -> None:
    server.answer(Answer(finish="length", text="It adds and"))

    reply = await provider().summarize(subject())

    assert (reply.text, reply.truncated) == ("It adds and", True)


@pytest.mark.parametrize("refusal", [too_long(), refusing(413, "", "")])
async def test_a_prompt_that_is_too_long_is_shortened(
    server: ModelServer, provider: Make, subject: MakeSubject, refusal: Answer
) -> None:
    server.answer(refusal, refusal)

    reply = await provider().summarize(subject(code="x = 1\n" * 1000))

    sizes = [len(request.body["messages"][1]["content"]) for request in server.requests]
    assert reply.shortened
    assert sizes[0] > 1.8 * sizes[1] > 3 * sizes[2]


async def test_a_prompt_is_not_shortened_for_ever(server: ModelServer, provider: Make) -> None:
    holds = tuple(Related(f"f{number}", "function", "holds", "Adds.") for number in range(100))
    server.always(too_long())

    with pytest.raises(Unanswered, match="context_length_exceeded"):
        await provider().summarize(Subject("directory", "src", "src", dependencies=holds))

    assert len(server.requests) == HALVINGS + 1


@pytest.mark.parametrize(
    ("rules", "name", "calls"),
    [
        (Rules(limit_name="max_completion_tokens"), "openai", 2),
        (Rules(limit_name="max_tokens"), "openai", 1),
        (Rules(limit_name="max_tokens"), "azure", 2),
        (Rules(limit_name="max_completion_tokens"), "azure", 1),
    ],
)
async def test_the_name_of_the_limit_is_learned_once(
    server: ModelServer, provider: Make, subject: MakeSubject, name: str, calls: int
) -> None:
    made = provider(name)

    await made.summarize(subject(1))
    await made.summarize(subject(2))

    assert len(server.requests) == calls + 1


@pytest.mark.parametrize("rules", [Rules(thinking=2000)])
async def test_a_model_that_thinks_gets_room_for_it(server: ModelServer, provider: Make, subject: MakeSubject) -> None:
    made = provider(llm_reasoning_effort="low")

    reply = await made.summarize(subject(1))
    await made.summarize(subject(2))

    limits = [request.body["max_tokens"] for request in server.requests]
    assert limits[1] == limits[2] > 2000 > limits[0]
    assert reply.usage.output > limits[0]
    assert server.requests[0].body["reasoning_effort"] == "low"
    assert made.identity == "openai:m:low"


@pytest.mark.parametrize("rules", [Rules(thinking=9000)])
async def test_a_model_that_thinks_beyond_its_room_is_named_with_the_setting(
    provider: Make, subject: MakeSubject
) -> None:
    with pytest.raises(Unanswered, match="CODESTORY_LLM_REASONING_TOKENS"):
        await provider().summarize(subject())


@pytest.mark.parametrize("rules", [Rules(models=("gpt",))])
async def test_an_unknown_model_is_named_with_its_settings(provider: Make, subject: MakeSubject) -> None:
    with pytest.raises(StepError, match=r"DeploymentNotFound.*'m'.*CODESTORY_AZURE_URL"):
        await provider("azure").summarize(subject())


async def test_a_redirect_is_not_followed(server: ModelServer, provider: Make, subject: MakeSubject) -> None:
    server.answer(Answer(307, {"Location": f"{server.url}/openai/v1/chat/completions"}, ""))

    with pytest.raises(StepError, match="CODESTORY_OPENAI_URL"):
        await provider().summarize(subject())

    assert len(server.requests) == 1


async def test_an_account_without_quota_stops_the_step(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    server.answer(refusing(429, "insufficient_quota", "You exceeded your current quota."))

    with pytest.raises(StepError, match="quota") as error:
        await provider().summarize(subject())

    assert not isinstance(error.value, TemporaryStepError)


async def test_it_says_beforehand_about_how_many_tokens_a_summary_takes(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    made, one = provider(), subject(code="value = compute(left, right)\n" * 100)

    estimate = made.tokens(one)

    assert not server.requests
    asked = prompt.of(one)
    assert 0.2 * len(asked.user) < estimate - asked.max_output_tokens < len(asked.user)
