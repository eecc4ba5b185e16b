"""Log lines: one JSON object each, a constant event name and fields, and the names of the fields that all have."""

import json
import logging
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from codestory.telemetry import ids

#: Characters of a line, which is ASCII. Longer than any that we mean to write: what comes from outside, as a message or
#: a name, must not fill a disk.
LONGEST_LINE = 65_536
#: Of a line that is longer: what is left of it. Escaped a second time a field takes twice as much.
LONGEST_KEY, LONGEST_FIELD, MOST_FIELDS = 100, 750, 40
#: What every log record has; the rest of its attributes are fields of the call.
ORDINARY = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039  # never changed in place


class JsonLines(logging.Formatter):
    """One object a line: time, level, service, event, what is bound to the task, the fields of the call."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": record.getMessage(),
            **_bound.get(),
            **{key: value for key, value in vars(record).items() if key not in ORDINARY},
        }
        if "trace_id" not in line and (trace_id := _trace_id(line)):
            line["trace_id"] = trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str)
        return text if len(text) <= LONGEST_LINE else json.dumps(_shortened(line))


def _trace_id(line: dict[str, Any]) -> str:
    """Of the attempt that the line is about, whoever writes it."""
    match line:
        case {"job_id": str(job), "step": str(step), "attempt": int(attempt)}:
            return f"{ids.of_attempt(job, step, attempt)[0]:032x}"
        case _:
            return ""


def _shortened(line: dict[str, Any]) -> dict[str, Any]:
    """Its first fields, of each so much as tells what it was; of a traceback the end."""
    fields = {key[:LONGEST_KEY]: json.dumps(value, default=str) for key, value in islice(line.items(), MOST_FIELDS)}
    if "exception" in line:
        fields["exception"] = json.dumps(line["exception"])
    short = {
        key: json.loads(text)
        if len(text) <= LONGEST_FIELD
        else text[-LONGEST_FIELD:]
        if key == "exception"
        else text[:LONGEST_FIELD]
        for key, text in fields.items()
    }
    return short | {"cut": True}


def job_of(record: logging.LogRecord) -> tuple[str, str]:
    """The job and the step that a line is about; empty where it is about none."""
    bound = _bound.get()
    job, step = (getattr(record, name, bound.get(name, "")) for name in ("job_id", "step"))
    return str(job), str(step or "")


class Log:
    """`log.info("step.ended", step=…)`: a constant event name and fields, not prose."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def log(self, level: int, event: str, /, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        # A field may be called like an attribute of every record, which logging would refuse.
        extra = {f"{key}_" if key in ORDINARY else key: value for key, value in fields.items()}
        self._logger.log(level, "%s", event, exc_info=exc_info, extra=extra)

    def info(self, event: str, /, **fields: Any) -> None:
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, /, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        self.log(logging.ERROR, event, exc_info=exc_info, **fields)


def logger(name: str) -> Log:
    return Log(name)


def bind(**fields: Any) -> None:
    """Fields that every further line of this task carries."""
    _bound.set(_bound.get() | fields)


class Seldom(logging.Filter):
    """What the exporter of spans says while nobody takes them: once in a while of each kind, not each time."""

    SECONDS = 60.0

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry"):
            return True
        key, now = (record.name, record.lineno), time.monotonic()
        if now - self._said.get(key, float("-inf")) < self.SECONDS:
            return False
        self._said[key] = now
        return True
