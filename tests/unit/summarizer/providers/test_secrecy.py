"""Neither key nor prompt nor answer is seen in logs, errors or representations."""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable

import pytest

from codestory.testing_models import Answer, ModelServer, Rules, failing, garbage, refusing, throttled
from codestory_summarizer.provider import Filtered, Unanswered
from codestory_summarizer.providers.chat import ChatProvider
from codestory_summarizer.subject import Subject

Make = Callable[..., ChatProvider]
KEY = "sk-the-key-that-nobody-may-see-0123456789"
CODE = "def launch(missile):\n    return missile.codes['alpha-bravo-charlie']\n"


@pytest.mark.parametrize("rules", [Rules(key=KEY)])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        throttled(milliseconds=1),
        failing(500, f"Internal error for key {KEY}"),
        refusing(401, "invalid_api_key", f"Incorrect API key provided: {KEY[:12]}"),
        refusing(403, "denied", KEY),
        refusing(404, "model_not_found", f"no model for {KEY}"),
        refusing(422, "invalid", f"[{{'loc': 'body', 'input': {CODE!r}}}]"),
        refusing(400, CODE, CODE),
        refusing(400, "bad", json.dumps({"content": CODE})),
        garbage(CODE),
        garbage(f'{{"choices": "{KEY}"}}'),
    ],
)
@pytest.mark.parametrize("name", ["openai", "azure"])
async def test_what_is_secret_stays_so_whatever_happens(
    server: ModelServer, provider: Make, caplog: pytest.LogCaptureFixture, answer: Answer, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.always(answer)
    made = provider(name, llm_attempts=2)
    subject = Subject("function", "launch", "src/launch.py", code=CODE)

    [outcome] = await asyncio.gather(made.summarize(subject), return_exceptions=True)

    seen = [repr(made), repr(vars(made)), *(str(vars(record)) for record in caplog.records)]
    if isinstance(outcome, BaseException):
        seen += traceback.format_exception(outcome)
    text = "".join(seen)
    assert KEY not in text
    assert KEY[:12] not in text
    assert "alpha-bravo" not in text
    assert "missile" not in text


async def test_a_message_is_shown_where_it_repeats_nothing(server: ModelServer, provider: Make) -> None:
    server.answer(refusing(400, "invalid_value", "temperature\x1b[31m must be a number"))

    with pytest.raises(Unanswered, match=r"HTTP 400 invalid_value temperature\[31m must be a number"):
        await provider().summarize(Subject("function", "f", "f.py", code=CODE))


async def test_reasons_of_gaps_are_few(server: ModelServer, provider: Make) -> None:
    server.always(Answer(finish="content_filter", caught=("hate", "violence")))
    made = provider("azure")
    reasons: set[str] = set()

    for number in range(3):
        try:
            await made.summarize(Subject("function", f"f{number}", "f.py", code=CODE * number))
        except Filtered as filtered:
            reasons.add(str(filtered))

    assert reasons == {"hate, violence"}
