"""The whole step on a real graph server, by rules: everything has a summary, an edit makes anew what it reaches."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from codestory.contracts.results import Gap
from codestory.graph import Label, queries
from codestory.steps import StepError
from codestory_summarizer.step import Options, SummarizerStep

if TYPE_CHECKING:
    from conftest import Workplace

Make = Callable[[Mapping[str, str]], "Workplace"]

SHOP: Mapping[str, str] = {
    "README.md": "# Shop\n\nSells things.\n",
    "shop/__init__.py": '"""Everything of the shop."""\n',
    "shop/prices.py": '''"""What things cost."""


def tax(amount):
    """The tax on an amount."""
    return amount * 0.2


def gross(amount):
    """With tax."""
    return amount + tax(amount)


def rebate(amount):
    return amount * 0.9
''',
    "shop/order.py": '''from shop.prices import gross


class Order:
    """What somebody buys."""

    def __init__(self, items):
        self.items = items

    def total(self):
        return gross(sum(self.items))


def even(number):
    return number == 0 or odd(number - 1)


def odd(number):
    return number != 0 and even(number - 1)
''',
    "data.csv": "a,b\n1,2\n",
    ".env": "PASSWORD=very-secret-word-1234\n",
}


async def test_everything_has_one_summary_with_its_place_in_the_graph(workplace: Make) -> None:
    shop = workplace(SHOP)
    await shop.ingest()

    result = await shop.summarize()

    made = await shop.summaries()
    assert {name: row["kind"] for name, row in made.items()} == {
        ".": "repository",
        "shop": "directory",
        **dict.fromkeys(SHOP, "file"),
        **dict.fromkeys(["tax", "gross", "rebate", "even", "odd"], "function"),
        "Order": "class",
        "Order.__init__": "method",
        "Order.total": "method",
    }
    assert made["gross"]["text"] == "With tax. Takes amount; calls tax; called by Order.total."
    assert made["shop/prices.py"]["text"] == "What things cost. Holds 3 functions: tax, gross and rebate."
    assert made["shop"]["text"].startswith("Everything of the shop. Holds 3 files: ")
    assert made["."]["text"].startswith("Shop: Sells things. Holds the directory shop; ")
    assert made[".env"]["text"] == "Properties file .env of 1 line. It may hold secrets and is not read."
    assert result.counts["summaries"] == result.counts["made"] == len(made) == 16
    assert result.summary == "16 summaries: 16 made"
    assert (result.counts["summaries.function"], result.counts["summaries.file"]) == (5, 6)
    assert result.nodes == {"Summary": 16}
    assert result.relationships == {"SUMMARIZED_BY": 16}
    assert not [*result.skipped, *result.failed]


async def test_a_second_run_makes_and_writes_nothing(workplace: Make) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    await shop.summarize()

    again = await shop.summarize()

    assert (again.counts["made"], again.counts["reused"], dict(again.written)) == (0, 16, {})


async def test_an_edit_makes_only_what_it_reaches_anew_and_the_graph_is_that_of_a_fresh_run(workplace: Make) -> None:
    shop, fresh = workplace(SHOP), workplace({})
    await shop.ingest()
    await shop.summarize()
    before = await shop.summaries()
    edited = {**SHOP, "shop/prices.py": SHOP["shop/prices.py"].replace("0.2", "0.25")}
    shop.write(edited)
    fresh.write(edited)

    await shop.ingest()
    result = await shop.summarize()

    after = await shop.summaries()
    changed = {name for name, row in after.items() if row["key"] != before[name]["key"]}
    assert changed == {
        "tax", "gross", "Order.total", "Order", "shop/prices.py", "shop/order.py", "shop", ".",
    }  # fmt: skip
    assert (result.counts["made"], result.counts["reused"]) == (8, 8)
    await fresh.ingest()
    await fresh.summarize()
    assert {name: (row["text"], row["key"]) for name, row in (await fresh.summaries()).items()} == {
        name: (row["text"], row["key"]) for name, row in after.items()
    }


async def test_of_a_cycle_all_are_made_anew(workplace: Make) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    await shop.summarize()
    before = await shop.summaries()
    shop.write({"shop/order.py": SHOP["shop/order.py"].replace("return number != 0", "return 0 != number")})

    await shop.ingest()
    await shop.summarize()

    after = await shop.summaries()
    changed = {name for name, row in after.items() if row["key"] != before[name]["key"]}
    assert changed == {"even", "odd", "shop/order.py", "shop", "."}


async def test_what_is_deleted_leaves_no_summary(workplace: Make) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    await shop.summarize()
    (shop.root / "shop/order.py").unlink()

    await shop.ingest()
    result = await shop.summarize()

    assert set(await shop.summaries()) == {*SHOP, ".", "shop", "tax", "gross", "rebate"} - {"shop/order.py"}
    assert result.counts["summaries"] == 10


async def test_the_same_files_in_another_place_and_under_another_name_have_the_same_keys(workplace: Make) -> None:
    one, other = workplace(SHOP), workplace({f"moved/here/{name}": text for name, text in SHOP.items()})
    for place in (one, other):
        await place.ingest()
        await place.summarize()

    keys = {name: row["key"] for name, row in (await one.summaries()).items()}
    moved = {name.removeprefix("moved/here/"): row["key"] for name, row in (await other.summaries()).items()}

    assert {name for name in keys if keys[name] != moved[name]} == {"."}


async def test_two_runs_leave_one_digest(workplace: Make) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    await shop.summarize()
    digest = await queries.digest(shop.driver, shop.id)

    await shop.ingest()
    await shop.summarize()

    assert await queries.digest(shop.driver, shop.id) == digest


async def test_equals_in_one_file_have_a_summary_each(workplace: Make) -> None:
    shop = workplace({"a.py": "if 1:\n    def f():\n        'One.'\nelse:\n    def f():\n        'Two.'\n"})
    await shop.ingest()

    await shop.summarize()

    rows = await shop.writer("reader", ()).read(
        "MATCH (n:Function {repo: $repo})-[:SUMMARIZED_BY]->(s) RETURN n.start_line AS line, s.text AS text"
    )
    assert {row["line"]: row["text"] for row in rows} == {2: "One.", 5: "Two."}


async def test_without_the_files_of_the_repository_it_says_what_to_run_first(workplace: Make) -> None:
    with pytest.raises(StepError, match="Run the filesystem step before summarizer"):
        await workplace(SHOP).summarize()


async def test_without_symbols_files_and_directories_are_summarized(workplace: Make) -> None:
    shop = workplace({"a.js": "// Adds.\nfunction add(a, b) { return a + b }\n"})
    await shop.ingest()

    result = await shop.summarize()

    assert {name: row["text"] for name, row in (await shop.summaries()).items()} == {
        "a.js": "Adds.",
        ".": "Repository. Holds the file a.js.",
    }
    assert result.counts["summaries"] == 2


async def test_a_file_that_changed_since_it_was_listed_is_a_gap_and_told_as_it_is(workplace: Make) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    shop.write({"shop/prices.py": '"""Another file."""\n'})
    (shop.root / "shop/order.py").unlink()

    result = await shop.summarize()

    assert [*result.skipped] == [
        Gap(path="shop/order.py", reason="could not be read: vanished before it could be read"),
        Gap(path="shop/prices.py", reason="changed since the filesystem step read it"),
    ]
    made = await shop.summaries()
    assert made["shop/prices.py"]["text"].startswith("Another file. ")
    assert "It was not read: vanished" in made["shop/order.py"]["text"]
    assert len(made) == 16


async def test_secrets_in_docstrings_and_comments_do_not_reach_the_graph(workplace: Make) -> None:
    secret = "gh" + "p_" + "x7Kq2Lm9Rt4Wz8Bv3Nc6Yd1Fg5Hj0Ps2QaEu"
    shop = workplace({"a.py": f'"""Token {secret} of the shop."""\n\ndef f():\n    """Uses {secret}."""\n'})
    await shop.ingest()

    result = await shop.summarize()

    made = await shop.summaries()
    assert secret not in str(made)
    assert "[REDACTED:" in made["f"]["text"]
    assert sum(count for name, count in result.counts.items() if name.startswith("redacted.")) >= 2


async def test_progress_leads_to_the_last_summary_and_the_writing(workplace: Make) -> None:
    shop = workplace(SHOP)
    await shop.ingest()
    shop.said.clear()

    await shop.summarize()

    summaries = [(said.done, said.total) for said in shop.said if said.unit == "summaries" and said.total]
    assert summaries == sorted(summaries)
    assert summaries[-1] == (16, 16)
    assert shop.said[-1].phase == "writing"
    assert "shop/" in "".join(said.message for said in shop.said if said.phase == "summarizing")


def test_the_options_explain_themselves() -> None:
    properties: dict[str, Any] = SummarizerStep.options_model().model_json_schema()["properties"]

    assert SummarizerStep.options_model() is Options
    assert set(properties) == {"provider", "model", "kinds", "parallel", "max_code_chars", "token_limit"}
    assert all(option["description"] for option in properties.values())
    assert Options().provider == "extractive", "nothing leaves the machine unless it is asked for"
    assert SummarizerStep.owns == (Label.SUMMARY,)
