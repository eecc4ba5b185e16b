"""A pipeline file is read whole, or refused with the line and the reason of each mistake."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codestory.contracts.plans import PipelineConfig, Retry
from codestory.pipeline_file import MAX_CHARACTERS, PipelineFileError, load, parse

WHOLE = """\
# The order is the order of the job.
steps:
  - name: blarify
    concurrency: 1
  - name: summarizer
    depends_on: [blarify]
    options: {model: small, since: 2020-01-01, parallel: 2}
    retry: {max_retries: 1}
    timeout_seconds: 60
    optional: true
retry:
  max_retries: 3
  back_off_seconds: 10
"""


def mistakes(text: str) -> str:
    with pytest.raises(PipelineFileError) as refused:
        parse(text, "f.yml")
    return str(refused.value)


def test_everything_that_a_file_can_state_is_read() -> None:
    config = parse(WHOLE)

    blarify, summarizer = config.plan()
    assert (blarify.name, summarizer.name) == ("blarify", "summarizer")
    assert summarizer.depends_on == ("blarify",)
    assert summarizer.options == {"model": "small", "since": "2020-01-01", "parallel": 2}
    assert (summarizer.retry.max_retries, blarify.retry.max_retries) == (1, 3)
    assert summarizer.timeout_seconds == 60
    assert summarizer.optional


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "f.yml:1: is empty: list at least one step under 'steps:'", id="empty"),
        pytest.param("# only\n# comments\n", "f.yml:1: is empty: list at least one step under 'steps:'", id="comments"),
        pytest.param("steps:", "f.yml:1: steps: must be a list", id="no list"),
        pytest.param("\nsteps: []", "f.yml:2: steps: must not be empty", id="no step"),
        pytest.param("- a", "f.yml:1: must be a mapping (key: value)", id="a list"),
        pytest.param("retry: {}", "f.yml:1: steps: is missing", id="no steps"),
        pytest.param(
            "steps:\n  - name: a\n    concurency: 1",
            "f.yml:3: unknown key 'concurency' (did you mean 'concurrency'?)",
            id="typo in a step",
        ),
        pytest.param(
            "steps:\n  - name: a\nretry:\n  max_retry: 1",
            "f.yml:4: unknown key 'max_retry' (did you mean 'max_retries'?)",
            id="typo in retry",
        ),
        pytest.param(
            "steps: [{name: a, retry: {zzz: 1}}]",
            "f.yml:1: unknown key 'zzz' (known: max_retries, back_off_seconds, max_back_off_seconds)",
            id="unlike any key",
        ),
        pytest.param(
            "stps:\n  - name: a",
            "f.yml:1: unknown key 'stps' (did you mean 'steps'?)\nf.yml:1: steps: is missing",
            id="typo at the top",
        ),
        pytest.param(
            "steps:\n  - name: a\n    name: b",
            "f.yml:3: the key 'name' is stated twice (first on line 2)",
            id="key twice",
        ),
        pytest.param("steps:\n  - name: a\n  - name: a", "f.yml:3: step 'a' is named twice", id="step twice"),
        pytest.param(
            "steps:\n  - name: scan\n  - name: link\n    depends_on:\n      - scan\n      - scam",
            "f.yml:6: step 'link' depends on 'scam', which is no step of this pipeline (did you mean 'scan'?)",
            id="unknown dependency",
        ),
        pytest.param(
            "steps:\n  - name: a\n    depends_on: [b]\n  - name: b",
            "f.yml:3: steps wait for each other: 'a' depends on 'b', 'b' depends on 'a' (it stands after it)",
            id="circle with an unstated link",
        ),
        pytest.param(
            "steps:\n  - name: a\n    depends_on: [a]",
            "f.yml:3: steps wait for each other: 'a' depends on 'a'",
            id="on itself",
        ),
        pytest.param(
            "steps:\n  - name: a\n    resources: [gpu, G P]\n    when: maybe\nresource_limits:\n  GPU: 1\n  x: one",
            "f.yml:3: steps[0].resources[1]: must be a tag: lower-case letters, digits, - and _, a letter first\n"
            "f.yml:4: steps[0].when: must be success or always\n"
            "f.yml:6: resource_limits.GPU: must be a tag: lower-case letters, digits, - and _, a letter first\n"
            "f.yml:7: resource_limits.x: must be a whole number",
            id="tags",
        ),
        pytest.param(
            "steps:\n  - name: a\n    resources:\n      - gpu\n      - gpu\nresource_limits: 1",
            "f.yml:6: resource_limits: must be a mapping (key: value)",
            id="limits of nothing",
        ),
        pytest.param(
            "steps:\n  - name: a\n    resources:\n      - gpu\n      - gpu",
            "f.yml:5: step 'a' names the resource 'gpu' twice: it holds one of each",
            id="tagged twice",
        ),
        pytest.param(
            "steps:\n  - name: Big Step\n    concurrency: '1'\n  - concurrency: yes",
            "f.yml:2: steps[0].name: must be a name: lower-case letters, digits and _, a letter first\n"
            "f.yml:3: steps[0].concurrency: must be a whole number\n"
            "f.yml:4: steps[1].name: is missing\n"
            "f.yml:4: steps[1].concurrency: must be a whole number",
            id="several",
        ),
        pytest.param(
            "steps: [{name: on}]", "f.yml:1: steps[0].name: must be text: put it in quotes", id="YAML's other booleans"
        ),
        pytest.param(
            "steps: [{name: job}]",
            "f.yml:1: steps[0].name: 'job' is a word of the bus; call the step something else",
            id="a step called job",
        ),
        pytest.param("steps: [{name: a, concurrency: 0}]", "steps[0].concurrency: Input should be greater", id="zero"),
        pytest.param("steps: [{name: a, options: {x: .nan}}]", "f.yml:1: a number must be finite", id="not a number"),
        pytest.param(
            "steps:\n  - name: [a\n", "f.yml:3: while parsing a flow sequence, expected ',' or ']'", id="open"
        ),
        pytest.param("steps:\n\t- name: a", "f.yml:2: while scanning for the next token, found character", id="tab"),
        pytest.param("steps: *a", "found undefined alias 'a'", id="undefined alias"),
        pytest.param("a: 1\n---\nb: 1", "f.yml:2: expected a single document", id="two documents"),
        pytest.param("\nx: !!python/object:os.system 1", "f.yml:2: the tag", id="a tag of Python's"),
        pytest.param("x: !mine {}", "f.yml:1: the tag '!mine' is not known here", id="a tag of one's own"),
        pytest.param("x: !!bool maybe", "'maybe' is no value of its type", id="a tag that lies"),
        pytest.param("\n? [a]\n: b", "f.yml:2: a key is not plain text: put it in quotes", id="a list as key"),
        pytest.param("1: b", "f.yml:1: a key is not plain text: put it in quotes", id="a number as key"),
        pytest.param("\n\na: \0", "f.yml:3: holds a character that YAML forbids", id="forbidden character"),
        pytest.param('\nx: "\\U99999999"', "f.yml:2: holds an escape or a number out of range", id="escape"),
        pytest.param('x: "\\ud800"', "f.yml:1: the text is not valid Unicode", id="half a character"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, told: str) -> None:
    message = mistakes(text)

    assert told in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("steps: " + "[" * 50_000, "nested deeper than 40 levels", id="deep"),
        pytest.param("steps: &a [*a]", "an alias refers to what holds it", id="itself"),
        pytest.param("x" * (MAX_CHARACTERS + 1), "larger than", id="huge"),
        pytest.param(
            "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
            + "\n".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)),
            "more than 5000 values",
            id="alias bomb",
        ),
        pytest.param("steps: [" + "a," * 15_000 + "]", "more than 5000 values", id="long"),
        pytest.param("steps: [{name: a, options: {x: 0x" + "f" * 5000 + "}}]", "fit 64 bits", id="huge number"),
    ],
)
def test_a_hostile_text_is_refused_without_exhausting_anything(text: str, told: str) -> None:
    message = mistakes(text)

    assert told in message


def test_an_alias_may_save_typing() -> None:
    config = parse("steps:\n  - {name: a, retry: &slow {max_retries: 9}}\n  - {name: b, retry: *slow}\n")

    assert [step.retry for step in config.plan()] == [Retry(max_retries=9)] * 2


def test_no_more_mistakes_are_listed_than_can_be_read() -> None:
    message = mistakes("steps:\n" + "  - concurrency: x\n" * 90)

    assert len(message.splitlines()) == 20


def test_a_step_that_is_left_out_hands_on_what_it_depends_on_wherever_it_stands() -> None:
    config = parse("steps:\n  - {name: a, depends_on: [c]}\n  - {name: b, depends_on: []}\n  - {name: c}\n")

    plan = config.plan(only=("a", "b"))

    assert [(step.name, step.depends_on) for step in plan] == [("a", ("b",)), ("b", ())]


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "pipeline_config.yml"
    file.write_text("steps:\n  - nam: a\n")

    with pytest.raises(PipelineFileError) as refused:
        load(file)

    assert str(refused.value).startswith(f"{file}:2: unknown key 'nam' (did you mean 'name'?)")
    assert (refused.value.line, refused.value.source) == (2, str(file))


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "pipeline_config.yml"
    file.write_text("steps: [{name: a}]", encoding="utf-8-sig")

    assert load(file).plan()[0].name == "a"


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "pipeline_config.yml"
    file.write_bytes(b"steps:\n  - name: \xff\n")

    with pytest.raises(PipelineFileError, match=r":2: the text is not UTF-8"):
        load(file)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(PipelineFileError, match=r"fifo: is not a file"):
        load(tmp_path / "fifo")
    with pytest.raises(PipelineFileError, match=r": cannot be read: Is a directory|: is not a file"):
        load(tmp_path)
    with pytest.raises(PipelineFileError, match=r"none.yml: cannot be read: No such file or directory"):
        load(tmp_path / "none.yml")


NAMES = st.sampled_from(["steps", "retry", "name", "depends_on", "options", "max_retries", "a", "b", "1", "job"])
SIGNS = st.sampled_from([*"-:[]{},'|>?#\n\t\"", "  ", "&x", "*x", "!!int", "!!binary", "%YAML", "<<", "\\U", "---"])
WORDS = NAMES | SIGNS


@settings(max_examples=300, deadline=None, database=None)
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map(" ".join), st.lists(WORDS).map("".join)))
def test_any_text_is_a_pipeline_or_is_refused_with_a_line(text: str) -> None:
    outcome = read(text)

    if isinstance(outcome, PipelineFileError):
        assert outcome.mistakes
        assert all(1 <= mistake.line <= len(text.splitlines()) + 1 for mistake in outcome.mistakes)
        assert all(line.startswith("f.yml:") and line.isprintable() for line in str(outcome).splitlines())


def read(text: str) -> PipelineConfig | PipelineFileError:
    try:
        return parse(text, "f.yml")
    except PipelineFileError as error:
        return error
