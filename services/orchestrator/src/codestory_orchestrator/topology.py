"""The streams, buckets and consumers, declared here and nowhere else. Idempotent: any orchestrator, any time.

A limit is taken from the settings when it is made, and again when the settings change; what an operator has changed
live since then stays. The server remembers, in the metadata, which setting it was made from."""

from dataclasses import dataclass
from typing import Any, cast

import nats.js.errors
from nats.js import api

from codestory import telemetry
from codestory.bus import DUE, ORCHESTRATOR, PRIORITIES, Bus
from codestory.contracts.events import KINDS
from codestory_orchestrator.access.tickets import BUCKET as TICKETS
from codestory_orchestrator.access.tickets import KEPT_LONGER
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_orchestrator.throttling.limits import CONCURRENCY, FROM_SETTING, TOKENS, Limit, Limits

log = telemetry.logger(__name__)

#: Commands of one priority and step that may wait for a tag before those behind them wait too.
HELD_BACK = 10_000
#: The server's own; it may be no longer than a bucket keeps its keys. Nothing here relies on it.
DEDUPLICATION = 120.0
#: What a difference in means an update; other fields are the server's or an operator's business.
COMPARED = (
    "subjects",
    "max_age",
    "max_bytes",
    "max_msgs_per_subject",
    "republish",
    "allow_direct",
    "allow_rollup_hdrs",
    "allow_msg_schedules",
    "discard_new_per_subject",
)


@dataclass(frozen=True)
class Topology:
    bus: Bus
    settings: OrchestratorSettings
    limits: Limits

    async def declare(self) -> None:
        for config in self._streams():
            await self._stream(config)
        settings = self.settings
        for bucket in ("jobs", "cancel", "limits", "steps", "lease"):
            await self._bucket(bucket)
        await self._bucket("workers", ttl=settings.presence_seconds)
        await self._bucket("idempotency", ttl=settings.idempotency_seconds)
        await self._bucket(TICKETS, ttl=settings.tickets_seconds + KEPT_LONGER)
        await self._object_store("snapshots", max_age=0, max_bytes=settings.snapshots_max_bytes)
        kinds = [self.bus.subject("evt.*.*", kind) for kind in sorted(KINDS)]
        await self._consumer("EVENTS", ORCHESTRATOR, kinds, limit=1000)
        await self._consumer("READY", DUE, [self.bus.subject("due.>")], limit=1000)

    async def declare_step(self, step: str, concurrency: int | None) -> None:
        """The consumers of one step. `concurrency`: runs at once over all replicas; None: not known now, leave it."""
        for priority in PRIORITIES:
            subject = self.bus.subject("ready", priority, step, "*")
            await self._consumer("READY", f"{priority}-{step}", [subject], limit=HELD_BACK)
        await self._consumer("RUN", step, [self.bus.subject("run", step, "*")], limit=concurrency)

    def _streams(self) -> list[api.StreamConfig]:
        bus, settings = self.bus, self.settings
        advisories = [
            f"$JS.EVENT.ADVISORY.CONSUMER.{kind}.{bus.stream(stream)}.>"
            for stream in ("READY", "RUN", "EVENTS")  # a wider filter would be refused to a second stack on this server
            for kind in ("MAX_DELIVERIES", "MSG_TERMINATED")
        ]
        return [
            api.StreamConfig(
                name=bus.stream("READY"),
                subjects=[bus.subject(s) for s in ("ready.>", "sched.>", "due.>")],
                retention=api.RetentionPolicy.WORK_QUEUE,
                allow_msg_schedules=True,
                allow_rollup_hdrs=True,  # the server adds it to a stream with schedules
                allow_direct=True,  # to count what waits
                max_msgs_per_subject=1,
            ),
            api.StreamConfig(
                name=bus.stream("RUN"),
                subjects=[bus.subject("run.>")],
                retention=api.RetentionPolicy.WORK_QUEUE,
                max_msgs=settings.resource_max_tokens,
                discard=api.DiscardPolicy.NEW,
                discard_new_per_subject=True,
                max_msgs_per_subject=1,
                metadata={FROM_SETTING: str(settings.resource_max_tokens)},
            ),
            api.StreamConfig(
                name=bus.stream("EVENTS"),
                subjects=[bus.subject("evt.>"), bus.subject("progress.>")],
                max_age=settings.events_max_age_seconds,
                max_bytes=settings.events_max_bytes,
                allow_rollup_hdrs=True,  # of a step's progress only the newest is kept
                republish=api.RePublish(src=bus.subject(">"), dest=bus.subject("live.>")),
                allow_direct=True,  # to read the history of a job
            ),
            api.StreamConfig(
                name=bus.stream("LOGS"),
                subjects=[bus.subject("log.>"), bus.subject("span.>")],
                max_age=settings.logs_max_age_seconds,
                max_bytes=settings.logs_max_bytes,
                republish=api.RePublish(src=bus.subject("log.>"), dest=bus.subject("live.log.>"), headers_only=True),
                allow_direct=True,
            ),
            api.StreamConfig(
                name=bus.stream("ADVISORIES"), subjects=advisories, max_age=settings.events_max_age_seconds
            ),
        ]

    async def _stream(self, wished: api.StreamConfig) -> None:
        assert wished.name
        try:
            now = (await self.bus.js.stream_info(wished.name)).config
        except nats.js.errors.NotFoundError:
            if wished.name == self.bus.stream("RUN"):
                live = self.limits.made_with(TOKENS, wished.max_msgs)
                wished = wished.evolve(max_msgs=live.value if live else wished.max_msgs)
            await self.bus.js.add_stream(wished.evolve(num_replicas=self.settings.nats_replicas))
            return
        changes: dict[str, Any] = {
            f: getattr(wished, f) for f in COMPARED if _differs(getattr(wished, f), getattr(now, f))
        } | self._more_replicas(now)
        if _setting_changed(wished, now):
            changes |= {"max_msgs": wished.max_msgs, "metadata": (now.metadata or {}) | (wished.metadata or {})}
        if changes:
            log.info("topology.updated", stream=wished.name, changes={k: str(v) for k, v in changes.items()})
            await self.bus.js.update_stream(now.evolve(**changes))

    async def _bucket(self, bucket: str, ttl: float | None = None) -> None:
        """`ttl`: seconds that it keeps a key."""
        name = self.bus.stream(bucket)
        try:
            now = (await self.bus.js.stream_info(f"KV_{name}")).config
        except nats.js.errors.NotFoundError:
            live = api.RePublish(src=f"$KV.{name}.>", dest=self.bus.subject("live", bucket, ">"))
            replicas = self.settings.nats_replicas
            await self.bus.js.create_key_value(
                api.KeyValueConfig(bucket=name, history=1, republish=live, ttl=ttl, replicas=replicas)
            )
            return
        changes = self._more_replicas(now)
        if ttl and now.max_age != ttl:
            changes |= {"max_age": ttl, "duplicate_window": min(ttl, DEDUPLICATION)}
        if changes:
            await self.bus.js.update_stream(now.evolve(**changes))

    async def _object_store(self, name: str, *, max_age: float, max_bytes: int) -> None:
        bucket = self.bus.stream(name)
        try:
            now = (await self.bus.js.stream_info(f"OBJ_{bucket}")).config
        except nats.js.errors.NotFoundError:
            replicas = self.settings.nats_replicas
            wished = api.ObjectStoreConfig(bucket=bucket, ttl=max_age, max_bytes=max_bytes, replicas=replicas)
            await self.bus.js.create_object_store(bucket, wished)
            return
        changes = self._more_replicas(now)
        if (now.max_age, now.max_bytes) != (max_age, max_bytes):
            changes |= {"max_age": max_age, "max_bytes": max_bytes}
        if changes:
            await self.bus.js.update_stream(now.evolve(**changes))

    def _more_replicas(self, now: api.StreamConfig) -> dict[str, Any]:
        """Fewer than there are would be an operator's decision undone, or a server's loss made worse."""
        replicas = self.settings.nats_replicas
        return {"num_replicas": replicas} if replicas > (now.num_replicas or 1) else {}

    async def _consumer(self, stream: str, name: str, subjects: list[str], *, limit: int | None) -> None:
        wished = api.ConsumerConfig(
            durable_name=name,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self.settings.ack_wait_seconds,
            max_deliver=-1,
            max_ack_pending=limit or 1,
            metadata={FROM_SETTING: str(limit)} if limit else {},
            filter_subject=subjects[0] if len(subjects) == 1 else None,
            filter_subjects=subjects if len(subjects) > 1 else None,
        )
        try:
            now = (await self.bus.js.consumer_info(self.bus.stream(stream), name)).config
        except nats.js.errors.NotFoundError:
            if stream == "RUN" and (live := self.limits.made_with(CONCURRENCY + name, limit)):
                wished = wished.evolve(max_ack_pending=live.value, metadata=_noted(live))
            await self.bus.js.add_consumer(self.bus.stream(stream), wished)
            return
        limited = not _setting_changed(wished, now)
        if limited and now.ack_wait == wished.ack_wait and _heard_by(now) == _heard_by(wished):
            return
        if limited:  # changed live, or as it was: keep it
            wished = wished.evolve(max_ack_pending=now.max_ack_pending, metadata=now.metadata)
        log.info("topology.updated", consumer=name, max_ack_pending=wished.max_ack_pending, ack_wait=wished.ack_wait)
        await self.bus.js.add_consumer(self.bus.stream(stream), wished)
        if stream == "RUN":
            self.limits.forget_concurrencies()


def _noted(limit: Limit) -> dict[str, str]:
    return {} if limit.setting is None else {FROM_SETTING: str(limit.setting)}


def _heard_by(config: api.ConsumerConfig) -> set[str]:
    return {*(config.filter_subjects or ()), *([config.filter_subject] if config.filter_subject else ())}


def _setting_changed(wished: api.StreamConfig | api.ConsumerConfig, now: api.StreamConfig | api.ConsumerConfig) -> bool:
    setting = (wished.metadata or {}).get(FROM_SETTING)
    return setting is not None and setting != (now.metadata or {}).get(FROM_SETTING)


def _differs(wished: Any, now: Any) -> bool:
    if isinstance(wished, list):
        return set(cast("list[str]", wished)) != set(cast("list[str]", now or []))
    return wished is not None and wished != now
