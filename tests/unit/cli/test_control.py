"""The commands that control jobs, and what they say of it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response

from codestory.contracts.api import JobView, SubmitJob
from codestory.contracts.values import now

Run = Callable[..., tuple[int, str, str]]
MakeJob = Callable[..., JobView]
Jobs = dict[str, list[JobView]]
Asked = list[tuple[str, Any]]

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def receipt(verb: str, **changes: Any) -> dict[str, Any]:
    return {"verb": verb, "asked_at": AT, "ended_at": AT + timedelta(seconds=1.3)} | changes


def throttled() -> Response:
    problem = {"title": "No", "status": 429, "code": "throttled", "detail": "All 4 tokens are held."}
    return Response(json.dumps(problem), 429, media_type="application/problem+json")


@pytest.mark.parametrize(("verb", "state"), [("stop", "STOPPED"), ("cancel", "CANCELLED")])
def test_a_job_is_ended_and_its_receipt_shown(
    run: Run, jobs: Jobs, answers: dict[str, Any], make_job: MakeJob, *, verb: str, state: str
) -> None:
    ended = make_job(state=state, receipt=receipt(verb, kept=["a", "b"], steps=["c"], tokens_released=1))
    going = make_job(state="STOPPING", receipt=receipt(verb, ended_at=None))
    jobs["job1"] = [going, ended]
    answers[f"POST job1/{verb}"] = going

    code, out, err = run("ingest", verb, "job1")

    assert code == 0
    assert out.splitlines() == [
        f"Job job1 is {state.lower()}.",
        f"{state.capitalize()} 1.3 s after it was asked for, at {AT.astimezone():%Y-%m-%d %H:%M:%S %Z}.",
        "  kept: a, b",
        "  ended: c",
        "  1 token released",
    ]
    assert "its steps are told to end" in err


def test_who_does_not_wait_is_told_that_it_is_under_way(
    run: Run, jobs: Jobs, answers: dict[str, Any], make_job: MakeJob
) -> None:
    jobs["job1"] = [make_job()]
    answers["POST job1/stop"] = make_job(state="STOPPING")

    code, out, _ = run("ingest", "stop", "job1", "--no-wait")

    assert (code, out) == (0, "Job job1 is being stopped: its steps are told to end.\n")


def test_a_job_that_completed_first_is_not_said_to_be_stopped(
    run: Run, jobs: Jobs, answers: dict[str, Any], make_job: MakeJob
) -> None:
    jobs["job1"] = [make_job()]
    answers["POST job1/stop"] = make_job(state="COMPLETED", receipt=receipt("stop"))

    code, out, _ = run("ingest", "stop", "job1")

    assert code == 0
    assert out.startswith("Job job1 is COMPLETED.\n")
    assert "had ended by itself" in out


@pytest.mark.parametrize(
    ("typed", "body"),
    [
        ("resume job1", None),
        ("retry job1", "{}"),
        ("retry job1 --from docs", '{"from_step": "docs"}'),
        (
            "retry job1 --option n=1 --step-option docs.deep=true",
            '{"options": {"n": 1}, "step_options": {"docs": {"deep": true}}}',
        ),
    ],
)
def test_a_job_goes_on_and_is_followed_to_its_end(
    run: Run, jobs: Jobs, answers: dict[str, Any], *, asked: Asked, make_job: MakeJob, typed: str, body: str | None
) -> None:
    verb, *arguments = typed.split()
    again = make_job(state="PENDING", run=2, receipt=receipt(verb, kept=["a"], steps=["docs"]))
    jobs["job1"] = [again, make_job(state="COMPLETED", complete=True)]
    answers[f"POST job1/{verb}"] = again

    code, out, err = run("ingest", verb, *arguments)

    assert (code, out) == (0, "")
    assert asked == [(f"POST job1/{verb}", json.loads(body) if body else None)]
    assert ", run 2:\n  kept: a\n  to run: docs\n" in err
    assert "COMPLETED" in err


def test_a_job_that_goes_on_can_be_left(run: Run, jobs: Jobs, answers: dict[str, Any], make_job: MakeJob) -> None:
    jobs["job1"] = [make_job(state="STOPPED")]
    answers["POST job1/resume"] = make_job(state="PENDING")

    code, out, err = run("ingest", "resume", "job1", "--detach")

    assert (code, out) == (0, "job1\n")
    assert "codestory ingest why job1" in err


def test_a_stopped_job_is_told_how_to_go_on(run: Run, jobs: Jobs, make_job: MakeJob) -> None:
    jobs["job1"] = [make_job(), make_job(state="STOPPED")]

    code, _, err = run("ingest", "watch", "job1")

    assert code == 1
    assert "codestory ingest resume job1" in err


def test_a_waiting_job_gets_another_priority(
    run: Run, jobs: Jobs, answers: dict[str, Any], asked: Asked, make_job: MakeJob
) -> None:
    jobs["job1"] = [make_job(state="PENDING")]
    answers["PATCH job1"] = make_job(priority="high")

    code, out, _ = run("ingest", "prioritise", "job1", "high")

    assert (code, out) == (0, "Job job1 has priority high.\n")
    assert asked == [("PATCH job1", {"priority": "high"})]


def test_why_is_said_in_words_and_as_json(run: Run, jobs: Jobs, answers: dict[str, Any], make_job: MakeJob) -> None:
    holder = {"job": "job0", "step": "docs", "attempt": 1, "repository": "flask", "since": now().isoformat()}
    token = {"cause": "token", "text": "filesystem waits for\x1b a token", "holders": [holder]}
    chain = {"cause": "repository", "text": "job job0 is before it", "waits": [{"cause": "due", "text": "due at 12"}]}
    text = f"PENDING: {token['text']}; {chain['text']}"
    jobs["job1"] = [make_job(state="PENDING")]
    answers["GET job1/why"] = {"job": "job1", "state": "PENDING", "text": text, "waits": [token, chain]}

    code, out, _ = run("ingest", "why", "job1")
    _, as_json, _ = run("ingest", "why", "job1", "--json")

    lines = [line.rstrip() for line in out.splitlines()]
    assert code == 0
    assert lines[:2] == ["Job job1  PENDING", r"  - filesystem waits for\x1b a token"]
    assert lines[2].startswith("      docs of job job0 (flask), for ")
    assert lines[3:] == ["  - job job0 is before it", "      - due at 12"]
    assert json.loads(as_json)["waits"][0]["cause"] == "token"


@pytest.mark.parametrize("waits", [[], [{"cause": "dependency", "text": "docs waits for it"}]])
def test_why_says_what_runs(
    run: Run, jobs: Jobs, answers: dict[str, Any], make_job: MakeJob, waits: list[dict[str, Any]]
) -> None:
    text = "; ".join(["RUNNING: step filesystem runs", *(wait["text"] for wait in waits)])
    jobs["job1"] = [make_job()]
    answers["GET job1/why"] = {"job": "job1", "state": "RUNNING", "text": text, "waits": waits}

    assert "step filesystem runs" in run("ingest", "why", "job1")[1]


def test_one_step_shows_its_attempts_and_options(
    run: Run, jobs: Jobs, answers: dict[str, Any], make_job: MakeJob, make_step: Callable[..., dict[str, Any]]
) -> None:
    attempt = {"number": 1, "worker": "w1", "reason": "temporary", "message": "busy", "state": "FAILED"}
    step = make_step("docs", attempt=2, options={"deep": True}, options_dropped=["wide"], attempts=[attempt])
    jobs["job1"] = [make_job()]
    answers["GET job1/steps/docs"] = step

    code, out, _ = run("ingest", "step", "job1", "docs")

    assert code == 0
    for expected in ("docs  RUNNING, attempt 2", 'Options: {"deep": true}', "wide", "w1", "temporary: busy"):
        assert expected in out


def test_a_request_has_all_that_was_typed(
    run: Run, repository: Path, jobs: Jobs, make_job: MakeJob, submitted: list[SubmitJob]
) -> None:
    jobs["abc1"] = [make_job(id="abc1")]

    code, out, _ = run(
        *("ingest", "start", str(repository), "--update", "--eta", "2031-12-01T03:00+01:00", "--after", "abc"),
        *("--when", "always", "--dependency", "docs=", "--resource", "gpu"),
    )

    assert (code, out) == (0, "job1\n")
    assert submitted == [
        SubmitJob.model_validate(
            {
                "repository": str(repository),
                "mode": "update",
                "eta": "2031-12-01T03:00+01:00",
                "after": ["abc1"],
                "when": "always",
                "dependencies": {"docs": []},
                "resources": ["gpu"],
            }
        )
    ]


def test_update_is_a_job_of_what_has_changed(run: Run, repository: Path, submitted: list[SubmitJob]) -> None:
    code, _, _ = run("ingest", "update", str(repository), "--steps", "filesystem", "--detach")

    assert code == 0
    assert submitted == [
        SubmitJob.model_validate({"repository": str(repository), "mode": "update", "steps": ["filesystem"]})
    ]


def test_a_job_that_is_due_later_is_left_and_says_when(
    run: Run, repository: Path, jobs: Jobs, make_job: MakeJob, submitted: list[SubmitJob]
) -> None:
    jobs["next"] = [make_job(state="SCHEDULED", due_at=now() + timedelta(hours=1, minutes=30, seconds=20))]

    code, out, err = run("ingest", "start", str(repository), "--countdown", "1h30m")

    assert (code, out) == (0, "job1\n")
    assert submitted[0].countdown == 5400
    assert "It is due " in err
    assert "(in 1 h 30 min)" in err


def test_no_room_is_a_sentence_and_1(run: Run, repository: Path, answers: dict[str, Any]) -> None:
    answers["POST"] = throttled()

    code, out, err = run("ingest", "start", str(repository), "--on-full", "fail")

    assert (code, out) == (1, "")
    assert err.endswith("codestory: All 4 tokens are held.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "flask", "--eta", "soon"], "A time is given as"),
        (["start", "flask", "--countdown", "1x"], "A countdown is given as"),
        (["start", "flask", "--eta", "2031-12-01T03:00Z", "--countdown", "5"], "not both"),
        (["start", "flask", "--when", "always"], "--after"),
        (["start", "flask", "--after", "nojob"], "There is no job 'nojob'"),
        (["start", "flask", "--mode", "some"], "some"),
        (["start", "flask", "--resource", "No Tag"], "resources.0"),
        (["start", "flask", "--dependency", "docs"], "step=a,b"),
        (["schedule", "flask"], "cron"),
        (["retry", "nojob"], "There is no job 'nojob'"),
        (["prioritise", "job1", "urgent"], "urgent"),
        (["schedules", "show", "s9"], "There is no schedule 's9'"),
    ],
)
def test_bad_use_is_a_sentence_and_2(
    run: Run, repository: Path, answers: dict[str, Any], *, submitted: list[SubmitJob], arguments: list[str], said: str
) -> None:
    answers["GET schedules"] = {"schedules": []}

    code, out, err = run("ingest", *arguments)

    assert repository.is_dir()
    assert (code, out, submitted) == (2, "", [])
    assert said in err
