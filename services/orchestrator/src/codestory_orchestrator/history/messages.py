"""What a message of the streams says, as the API gives it. Anybody may write anything there: what is none of ours is
not told, and what cannot be read is told without its content."""

import json
import re
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from codestory.bus import Stored
from codestory.contracts.history import JobEvent, LogLine

#: The kinds that there are, and those that may come.
KIND = re.compile(r"[a-z][a-z_]{0,63}")
#: A word in the place of the step: the job itself.
JOB = "job"
#: Of a log line: what the subject says too, or what has a field of its own.
TAKEN = ("job_id", "step", "event", "level", "attempt")
MAX_WORD = 200

_object = TypeAdapter(dict[str, JsonValue])


def event(stored: Stored) -> JobEvent | None:
    """Of `evt.<job>.<step>.<kind>`."""
    _, job, step, kind = stored.subject.rsplit(".", 3)
    if not KIND.fullmatch(kind):
        return None
    data = content(stored)
    return JobEvent(
        seq=stored.sequence,
        at=stored.at,
        job=job,
        step="" if step == JOB else step,
        kind=kind,
        attempt=number(data.get("attempt")),
        data=data,
    )


def log_line(stored: Stored) -> LogLine:
    """Of `log.<job>.<step>`."""
    said, step = content(stored), stored.subject.rpartition(".")[2]
    return LogLine(
        seq=stored.sequence,
        at=stored.at,
        step="" if step == JOB else step,
        level=_word(said.get("level")) or "info",
        event=_word(said.get("event")),
        attempt=number(said.get("attempt")),
        fields={name: value for name, value in said.items() if name not in TAKEN},
    )


def content(stored: Stored) -> dict[str, JsonValue]:
    """Such that it can be sent on. Half a character, as a file's name may hold, is replaced."""
    try:
        return _object.validate_json(stored.data)
    except ValidationError:
        whole = json.dumps(stored.body, ensure_ascii=False).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    try:
        return _object.validate_json(whole)
    except ValidationError:
        return {}


def number(value: Any) -> int:
    """0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _word(value: Any) -> str:
    return value[:MAX_WORD] if isinstance(value, str) else ""
