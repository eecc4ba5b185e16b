"""The step with a model behind an endpoint: what is sent, paid once, kept when something goes wrong, and named."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codestory.steps import StepError, TemporaryStepError
from codestory.testing import wait_until
from codestory.testing_models import (
    Answer,
    ModelServer,
    Rules,
    failing,
    filtered_prompt,
    garbage,
    refusing,
    throttled,
)

if TYPE_CHECKING:
    from conftest import Workplace

Make = Callable[[Mapping[str, str]], "Workplace"]

SHOP: Mapping[str, str] = {
    "README.md": "# Shop\n\nSells things.\n",
    "shop/prices.py": '''"""What things cost."""


def tax(amount):
    return amount * 0.2


def gross(amount):
    """With tax."""
    return amount + tax(amount)
''',
    "shop/order.py": """from shop.prices import gross


class Order:
    def total(self):
        return gross(sum(self.items))


def even(number):
    return number == 0 or odd(number - 1)


def odd(number):
    return number != 0 and even(number - 1)
""",
    ".env": "PASSWORD=very-secret-word-1234\n",
    "package-lock.json": '{"lockfileVersion": 3}\n',
}
#: Everything but the two files that are withheld: 3 files, 2 places, 4 functions, a class, a method.
CALLS = 11


def prompts(model: ModelServer) -> list[str]:
    return [request.body["messages"][1]["content"] for request in list(model.requests)]


def prompt_for(model: ModelServer, first_line: str) -> str:
    [found] = [text for text in prompts(model) if f"\n{first_line}\n" in text]
    return found


async def test_a_model_summarizes_leaves_first_and_a_second_run_asks_nothing(
    workplace: Make, model: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    shop = workplace(SHOP)
    await shop.ingest()

    with caplog.at_level(logging.INFO, "test.summarizer"):
        result = await shop.summarize(provider="openai", parallel=3)
    again = await shop.summarize(provider="openai", parallel=3)

    made = await shop.summaries()
    assert len(model.requests) == CALLS == model.totals.completions
    assert (result.counts["made"], again.counts["made"], again.counts["reused"]) == (13, 0, 13)
    assert dict(again.written) == {}
    assert f"calls function tax: {made['tax']['text']}" in prompt_for(model, "function: gross")
    assert f"contains method Order.total: {made['Order.total']['text']}" in prompt_for(model, "class: Order")
    assert made["shop"]["text"] in prompt_for(model, "repository: ").replace("\n", " ")
    assert (
        result.counts["tokens.input"] == model.totals.input == sum(row.get("input_tokens", 0) for row in made.values())
    )
    assert result.counts["tokens.output"] == model.totals.output
    assert result.counts["tokens.cached"] == model.totals.cached > 0
    spent = model.totals.input + model.totals.output
    assert f'"spent": {spent}' in json.dumps(result.details["tokens"])
    assert (made["tax"]["provider"], made["tax"]["status"]) == ("openai", "made")
    assert made["tax"]["model"] == model.requests[0].body["model"]
    [said] = [record for record in caplog.records if record.message == "summarizer.sends"]
    fields = vars(said)
    assert (fields["subjects"], fields["reused"], fields["model"]) == (CALLS, 0, f"openai:{made['tax']['model']}")
    assert fields["destination"].split()[0] in model.url
    assert any("sends code of 11 subjects" in said.message for said in shop.said)


async def test_an_edit_asks_only_for_what_it_reaches(workplace: Make, model: ModelServer) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    await shop.summarize(provider="openai")
    model.requests.clear()
    shop.write({"shop/prices.py": SHOP["shop/prices.py"].replace("0.2", "0.25")})

    await shop.ingest()
    result = await shop.summarize(provider="openai")

    assert {text.splitlines()[2] for text in prompts(model)} == {
        "function: tax", "function: gross", "method: Order.total", "class: Order", "file: prices.py", "file: order.py",
        "directory: shop", "repository: ",
    }  # fmt: skip
    assert (result.counts["made"], result.counts["reused"]) == (8, 5)


async def test_what_a_model_said_for_another_repository_is_paid_for_once(workplace: Make, model: ModelServer) -> None:
    one, copy = workplace(SHOP), workplace({f"vendor/{name}": text for name, text in SHOP.items()})
    await one.ingest()
    await one.summarize(provider="openai")
    model.requests.clear()

    await copy.ingest()
    result = await copy.summarize(provider="openai")

    asked = {text.splitlines()[2].partition(":")[0] for text in prompts(model)}
    assert asked == {"directory", "repository"}, "a place that is called vendor, and what holds it"
    assert result.counts["reused"] >= CALLS - 2


async def test_equal_code_in_one_repository_is_asked_for_once(workplace: Make, model: ModelServer) -> None:
    code = "def helper():\n    return 1\n"
    shop = workplace({"a/x.py": code, "b/x.py": code, "c/x.py": code})
    await shop.ingest()

    result = await shop.summarize(provider="openai", parallel=8)

    kinds = [text.splitlines()[2].partition(":")[0] for text in prompts(model)]
    assert sorted(kinds) == ["directory", "directory", "directory", "file", "function", "repository"]
    assert (result.counts["made"], result.counts["reused"]) == (6, 4)


async def test_files_that_may_hold_secrets_never_reach_the_model_and_others_are_redacted(
    workplace: Make, model: ModelServer
) -> None:
    token = "gh" + "p_" + "x7Kq2Lm9Rt4Wz8Bv3Nc6Yd1Fg5Hj0Ps2QaEu"
    shop = workplace(
        {
            ".env": "PASSWORD=very-secret-word-1234\n",
            "deploy.pem": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n",
            "a.py": f'TOKEN = "{token}"\n\n\ndef f(token="{token}"):\n    """Sends {token}."""\n    return "{token}"\n',
        }
    )
    model.always(Answer(text=f"It sends {token} away."))
    await shop.ingest()

    result = await shop.summarize(provider="openai")

    sent = json.dumps([[request.path, dict(request.headers), request.body] for request in model.requests])
    for secret in (token, "very-secret-word-1234", "MIIEvQIBADANBg"):
        assert secret not in sent
        assert secret not in str(await shop.summaries())
    assert "[REDACTED:" in sent
    assert result.counts["withheld.it may hold secrets and is not read"] == 2


async def test_only_the_kinds_that_are_asked_for_go_to_the_model(workplace: Make, model: ModelServer) -> None:
    shop = workplace(SHOP)
    await shop.ingest()

    await shop.summarize(provider="openai", kinds=["class", "directory"])

    assert sorted(text.splitlines()[2].partition(":")[0] for text in prompts(model)) == ["class", "directory"]
    assert (await shop.summaries())["gross"]["provider"] == "extractive"


async def test_a_filtered_one_has_a_text_by_rules_is_named_and_not_asked_for_again(
    workplace: Make, model: ModelServer
) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    model.answer_about("\nfunction: gross\n", filtered_prompt("violence"))

    result = await shop.summarize(provider="openai")
    asked = len(model.requests)
    again = await shop.summarize(provider="openai")

    gross = (await shop.summaries())["gross"]
    assert (gross["status"], gross["text"]) == (
        "filtered", "With tax. Takes amount; calls tax; called by Order.total.",
    )  # fmt: skip
    assert "violence" in gross["reason"]
    for run in (result, again):
        [gap] = run.skipped
        assert gap.path == "shop/prices.py"
        assert gap.reason.startswith("content filter: ")
        assert run.counts["filtered"] == 1
        assert run.counts["made"] + run.counts["reused"] + run.counts["filtered"] == run.counts["summaries"]
    assert len(model.requests) == asked
    assert dict(again.written) == {}


async def test_a_failed_one_has_a_text_by_rules_is_named_and_asked_for_again(
    workplace: Make, model: ModelServer
) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    model.answer_about("\nfunction: gross\n", garbage())

    result = await shop.summarize(provider="openai")
    failed = (await shop.summaries())["gross"]
    model.answer_about("\nfunction: gross\n", Answer())
    again = await shop.summarize(provider="openai")

    assert failed["status"] == "failed"
    assert failed["text"] == "With tax. Takes amount; calls tax; called by Order.total."
    [gap] = result.failed
    assert (gap.path, gap.reason.partition(":")[0]) == ("shop/prices.py", "no usable answer")
    assert (again.counts["made"], again.counts["failed"]) == (1, 0)
    assert (await shop.summaries())["gross"]["status"] == "made"


async def test_a_truncated_answer_and_code_that_was_cut_are_marked(workplace: Make, model: ModelServer) -> None:
    shop = workplace({"a.py": "def f():\n" + "    x = 1\n" * 500})
    await shop.ingest()
    model.answer_about("\nfunction: f\n", Answer(finish="length", text="It sets x and"))

    result = await shop.summarize(provider="openai", max_code_chars=200)

    made = await shop.summaries()
    assert (made["f"]["status"], made["f"]["truncated"]) == ("truncated", True)
    assert result.counts["truncated"] == 1
    assert len(prompt_for(model, "function: f")) < 1_500


async def test_an_answer_is_kept_as_plain_text(workplace: Make, model: ModelServer) -> None:
    shop = workplace({"a.txt": "Some text.\n"})
    await shop.ingest()
    model.always(Answer(text="## Title\n\nSee [this](https://evil.example) <script>x</script>."))

    await shop.summarize(provider="openai")

    assert (await shop.summaries())["a.txt"]["text"] == "Title See this x."


async def test_an_endpoint_that_stays_away_ends_the_attempt_and_the_next_goes_on_where_it_was(
    workplace: Make, model: ModelServer
) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    model.answer(*[Answer()] * 4)
    model.always(failing(503))

    with pytest.raises(TemporaryStepError, match="no answer"):
        await shop.summarize(provider="openai")
    model.always(None)
    result = await shop.summarize(provider="openai")

    assert model.totals.completions == CALLS
    assert (result.counts["made"], result.counts["reused"]) == (CALLS - 4 + 2, 4)


async def test_an_endpoint_that_asks_to_be_left_alone_ends_the_attempt_for_those_who_wait_for_it_too(
    workplace: Make, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESTORY_LLM_READ_TIMEOUT", "0.5")
    shop = workplace(SHOP)
    await shop.ingest()
    model.always(throttled("300"))

    with pytest.raises(TemporaryStepError, match="300 s"):
        await shop.summarize(provider="openai", parallel=5)


async def test_a_refused_key_ends_the_step(workplace: Make, model: ModelServer) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    model.always(refusing(401, "401", "Access denied"))

    with pytest.raises(StepError, match="credentials") as raised:
        await shop.summarize(provider="openai", parallel=2)

    assert not isinstance(raised.value, TemporaryStepError)
    assert model.arrived <= 4


async def test_an_endpoint_that_always_fails_ends_the_attempt(workplace: Make, model: ModelServer) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    model.always(failing(500))

    with pytest.raises(TemporaryStepError):
        await shop.summarize(provider="openai")


async def test_more_than_the_limit_is_refused_before_the_first_call(workplace: Make, model: ModelServer) -> None:
    shop = workplace(SHOP)
    await shop.ingest()

    with pytest.raises(StepError, match=r"Budget exceeded: about [\d,]+ tokens .* token_limit is 100\."):
        await shop.summarize(provider="openai", token_limit=100)

    assert model.arrived == 0


async def test_the_limit_stops_a_run_that_takes_more_than_was_estimated(workplace: Make, model: ModelServer) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    model.always(Answer(text="word " * 4_000))
    limit = 15_000

    with pytest.raises(StepError, match=r"Budget exceeded: [\d,]+ are spent"):
        await shop.summarize(provider="openai", parallel=1, token_limit=limit)

    assert model.totals.input + model.totals.output <= limit + 5_000
    assert 0 < model.totals.completions < CALLS


def one_run(shop: "Workplace", output: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """The step in a process of its own."""
    shop.runs += 1
    given: dict[str, Any] = {
        "settings": shop.settings.model_dump(mode="json") | {"neo4j_password": shop.settings.password()},
        "root": str(shop.root),
        "repository": shop.id,
        "fence": [1, shop.runs],
        "options": options,
    }
    program = [sys.executable, str(Path(__file__).with_name("one_run.py")), json.dumps(given)]
    with output.open("wb") as out:
        return subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


@pytest.mark.parametrize("model", [Rules(latency=0.2)], indirect=True)
async def test_a_run_that_is_killed_pays_for_no_more_than_was_under_way(
    workplace: Make, model: ModelServer, tmp_path: Path
) -> None:
    files = {f"m{number}.py": f"def f{number}():\n    return {number}\n" for number in range(20)}
    shop, parallel = workplace(files), 4
    await shop.ingest()
    process = one_run(shop, tmp_path / "output", provider="openai", parallel=parallel)
    try:

        async def half_way() -> bool:
            return model.arrived >= 20 or process.poll() is not None

        await wait_until(half_way, "half of it is asked for", 60)
        assert process.poll() is None, (tmp_path / "output").read_text()
    finally:
        process.kill()
        process.wait()
    result = await shop.summarize(provider="openai", parallel=parallel)

    calls = 41
    assert model.arrived <= calls + parallel
    assert result.counts["summaries"] == calls
    assert result.counts["made"] <= calls - 20 + parallel
