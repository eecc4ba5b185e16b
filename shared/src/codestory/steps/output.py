"""What a step's process writes, as structured log lines: on the host's own log, and on the bus for who asks later."""

import json
from typing import Any

from codestory import telemetry
from codestory.bus import Bus, parsed
from codestory.contracts.values import now

log = telemetry.logger(__name__)

#: Fields that the host alone sets.
OURS = ("job_id", "step", "attempt", "trace_id", "span_id")


class Output:
    """The sink of one attempt. Bounded: a step that writes without end fills no log."""

    def __init__(self, bus: Bus, most: int, **fields: Any) -> None:
        self.bus, self.most, self.fields = bus, most, fields
        self.lines = 0

    def line(self, text: str) -> None:
        if not text.strip():
            return
        self.lines += 1
        if self.lines > self.most:
            return
        said = parsed(text.encode()) or {
            "event": "step.output",
            "line": text,
            "level": "info",
            "time": now().isoformat(),
        }
        self._write(said | self.fields)

    def close(self) -> None:
        if self.lines > self.most:
            self._write(
                {"event": "step.output_cut", "lines": self.lines, "kept": self.most, "level": "warning"} | self.fields
            )

    def _write(self, record: dict[str, Any]) -> None:
        event = str(record.pop("event", "step.output"))
        level = str(record.pop("level", "info"))
        log.log(_level(level), event, **{key: value for key, value in record.items() if key != "exc_info"})
        whole = {"event": event, "level": level, **record}
        subject = self.bus.subject("log", self.fields["job_id"], self.fields["step"])
        self.bus.in_background(self.bus.record(subject, json.dumps(whole, default=str).encode()))


def _level(name: str) -> int:
    return {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}.get(name, 20)
