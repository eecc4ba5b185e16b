"""Jobs that were recorded once, told again: what this version makes of them is what they became. See event_logs/."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from codestory.contracts.api import RetryJob
from codestory.contracts.jobs import Job
from codestory.contracts.plans import StepPlan
from codestory.contracts.values import Verb
from codestory_orchestrator import control, handlers, pipeline

LOGS = sorted((Path(__file__).parent / "event_logs").glob("*.json"))
PLAN = TypeAdapter(tuple[StepPlan, ...])
Entry = dict[str, Any]


def told(job: Job, entry: Entry) -> Job:
    match entry:
        case {"event": subject, "sequence": sequence, "data": data, "time": time}:
            heard = handlers.parse(f"codestory.{subject}", data.encode(), sequence, datetime.fromisoformat(time))
            assert heard
            return handlers.advance_all(job, [heard])[0]
        case {"begun": at}:
            return pipeline.begin(job, datetime.fromisoformat(at))[0]
        case {"due": at}:
            return control.due(job, datetime.fromisoformat(at))
        case {"asked": verb, "at": at}:
            return asked(job, Verb(verb), datetime.fromisoformat(at), entry)
        case _:
            raise AssertionError(f"not known: {entry}")


def asked(job: Job, verb: Verb, at: datetime, entry: Entry) -> Job:
    match verb:
        case Verb.CANCEL:
            return control.cancel(job, at, entry["grace"])
        case Verb.STOP:
            return control.stop(job, at, entry["grace"])
        case Verb.RESUME:
            return control.resume(job, at)
        case Verb.RETRY:
            plan = PLAN.validate_python(entry["plan"])
            return control.retry(job, RetryJob.model_validate(entry["request"]), plan, at)


def read(path: Path) -> tuple[Job, list[Entry], Job]:
    log = json.loads(path.read_text(encoding="utf-8"))
    return Job.model_validate(log["made"]), log["entries"], Job.model_validate(log["final"])


def test_there_are_logs() -> None:
    assert LOGS


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_what_was_recorded_comes_to_the_same_end(path: Path) -> None:
    job, entries, final = read(path)

    for entry in entries:
        job = told(job, entry)

    assert job == final


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_told_twice_it_comes_to_the_same_end(path: Path) -> None:
    """Each event again right after the first time, and all of them again at the end."""
    job, entries, final = read(path)
    events = [entry for entry in entries if "event" in entry]

    for entry in entries:
        job = told(job, entry)
        if "event" in entry:
            job = told(job, entry)
    for entry in events:
        job = told(job, entry)

    assert job == final
