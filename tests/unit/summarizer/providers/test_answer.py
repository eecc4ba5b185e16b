import json
from typing import Any

import pytest

from codestory_summarizer.provider import Usage
from codestory_summarizer.providers import answer


def said(text: str | None = "Adds.", **changes: Any) -> bytes:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"model": "m-1", "choices": [choice], **changes}).encode()


def test_usage_is_read_with_what_was_cached_and_thought() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }

    read = answer.completion(said(usage=usage))

    assert (read.text, read.usage, read.thought, read.model) == ("Adds.", Usage(9, 8, 5), 3, "m-1")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": "many"}, [1], "no"])
def test_usage_that_cannot_be_read_costs_the_text_nothing(usage: object) -> None:
    read = answer.completion(said(usage=usage))

    assert (read.text, read.usage) == ("Adds.", Usage())


def test_thinking_that_is_written_out_is_no_part_of_the_text() -> None:
    assert answer.completion(said("<think>\nIt adds?\n</think>\n\nAdds.")).text == "Adds."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {"content": 3}}]}',
        said(None),
        said("  \n"),
    ],
)
def test_what_is_no_completion_is_no_answer(body: bytes) -> None:
    with pytest.raises(answer.NoAnswer):
        answer.completion(body)


def test_an_answer_without_text_still_says_what_it_cost() -> None:
    with pytest.raises(answer.NoAnswer) as no:
        answer.completion(said("", usage={"prompt_tokens": 7}))

    assert no.value.usage == Usage(7)


@pytest.mark.parametrize(
    ("error", "too_long"),
    [
        ({"code": "context_length_exceeded", "message": ""}, True),
        ({"code": 400, "message": "This model's maximum context length is 4096 tokens."}, True),
        ({"type": "exceed_context_size_error", "message": "the request exceeds the available context size"}, True),
        ({"code": "invalid_request_error", "message": "temperature must be a number"}, False),
        ("input is too long", True),
        ("model is loading", False),
        (None, False),
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_code_or_words(error: object, too_long: bool) -> None:
    assert answer.refusal(json.dumps({"error": error}).encode()).too_long is too_long


@pytest.mark.parametrize(
    ("message", "parameter", "name"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.",
            "max_tokens",
            "max_tokens",
        ),
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.", None, "max_tokens"),
        ("Unrecognized request argument supplied: max_completion_tokens", None, "max_completion_tokens"),
    ],
)
def test_an_unknown_parameter_is_known_from_how_endpoints_word_it(message: str, parameter: str, name: str) -> None:
    refusal = answer.refusal(json.dumps({"error": {"message": message, "param": parameter}}).encode())

    assert [other for other in ("max_tokens", "max_completion_tokens") if refusal.unsupported(other)] == [name]


def test_a_code_that_is_no_word_is_left_out() -> None:
    assert answer.refusal(b'{"error": {"code": "def f():\\n  pass", "type": "bad_request"}}').code == "bad_request"
