"""What the bus says of its own streams, buckets and consumers, and of the messages of one job."""

from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue

from codestory.bus import DUE, ORCHESTRATOR, PRIORITIES, Bus, parsed
from codestory.nats_users.permissions import BUCKETS, OBJECTS, STREAMS

#: Of a stream's or consumer's description: what says how it is.
TOLD = ("config", "state", "cluster", "created", "delivered", "ack_floor", "num_ack_pending", "num_redelivered")
ALSO_TOLD = ("num_waiting", "num_pending", "push_bound", "paused", "ts", "error")


async def state(bus: Bus, steps: Iterable[str]) -> JsonValue:
    """Of all of them. A consumer that is not there says so itself."""
    names = [*STREAMS, *(f"KV_{bucket}" for bucket in BUCKETS), f"OBJ_{OBJECTS}"]
    streams = {name: await _asked(bus, f"STREAM.INFO.{bus.stream(name)}") for name in names}
    consumers = {
        f"{stream}/{name}": await _asked(bus, f"CONSUMER.INFO.{bus.stream(stream)}.{name}")
        for stream, name in _consumers(steps)
    }
    return {"streams": streams, "consumers": consumers}


def _consumers(steps: Iterable[str]) -> list[tuple[str, str]]:
    of_steps = [
        (stream, name)
        for step in steps
        for stream, name in (("RUN", step), *(("READY", f"{priority}-{step}") for priority in PRIORITIES))
    ]
    return [("EVENTS", ORCHESTRATOR), ("READY", DUE), *of_steps]


async def _asked(bus: Bus, what: str) -> JsonValue:
    answer = await bus.nc.request(f"$JS.API.{what}", timeout=bus.settings.nats_request_seconds)
    said: dict[str, Any] = parsed(answer.data)
    return {name: said[name] for name in (*TOLD, *ALSO_TOLD) if name in said}


async def messages(bus: Bus, job: str) -> JsonValue:
    """By stream the subjects that hold a message of this job, and how many."""
    patterns = {
        "READY": (f"ready.*.*.{job}", f"sched.{job}.*", f"due.{job}"),
        "RUN": (f"run.*.{job}",),
        "EVENTS": (f"evt.{job}.>", f"progress.{job}.*"),
        "LOGS": (f"log.{job}.*", f"span.{job}.*"),
    }
    found: dict[str, JsonValue] = {}
    for stream, wished in patterns.items():
        counts: dict[str, JsonValue] = {}
        for pattern in wished:
            info = await bus.js.stream_info(bus.stream(stream), subjects_filter=bus.subject(pattern))
            counts |= dict(sorted((info.state.subjects or {}).items()))
        found[stream] = counts
    tombstone = await bus.value("cancel", job)
    return {"streams": found, "tombstone": tombstone.body if tombstone else None}


def server(bus: Bus) -> JsonValue:
    """Which NATS server this process is connected to."""
    if not bus.connected:
        return "not connected"
    client = bus.nc
    version = client.connected_server_version
    return {
        "version": f"{version.major}.{version.minor}.{version.patch}",
        "max_payload": client.max_payload,
        "reconnects": client.stats["reconnects"],
    }
