"""A bucket of the bus, remembered."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import nats.errors
from nats.aio.msg import Msg
from nats.js import api

from codestory.bus import LOST, Bus

#: Values of one batch of a listing, and how long the server keeps the consumer of one that was broken off.
LISTING_BATCH, LISTING_SECONDS = 256, 60.0


class Mirror:
    """A KV bucket in memory: listed at every connection, then kept by what the server republishes.

    What it holds may be old. It may decide to act, where a compare-and-set will check; never to ignore."""

    def __init__(self, bus: Bus, bucket: str, heard: Callable[[str], None] = lambda _: None) -> None:
        self.bus, self.bucket = bus, bucket
        self._heard_of = heard
        self._entries: dict[str, tuple[int, bytes]] = {}
        #: When the bucket was made that was listed last.
        self._created: datetime | None = None
        #: Of what the server stored, everything up to here has been heard.
        self._heard_to = 0
        self._news = asyncio.Event()
        self._listens = False

    @property
    def entries(self) -> dict[str, tuple[int, bytes]]:
        """Key to (revision, value), without the deleted."""
        return {key: entry for key, entry in self._entries.items() if entry[1]}

    def get(self, key: str) -> tuple[int, bytes] | None:
        entry = self._entries.get(key)
        return entry if entry and entry[1] else None

    async def start(self) -> None:
        """What was interrupted may be begun again."""
        if not self._listens:
            await self.bus.nc.subscribe(self.bus.subject("live", self.bucket, ">"), cb=self._heard)
            self._listens = True
        await self.list()

    def forget(self) -> dict[str, tuple[int, bytes]]:
        """After a loss of the broker's storage: revisions start again, older ones would hide the new."""
        entries, self._entries, self._heard_to = self.entries, {}, 0
        return entries

    async def list(self) -> None:
        """All values as they are now. By a consumer that says how many they are: nats-py's watcher of a bucket may say
        that it is through before its first value."""
        stream, prefix = self.bus.stream(f"KV_{self.bucket}"), self.bus.key(self.bucket, "")
        bucket = await self.bus.js.stream_info(stream)
        listed = set[str]()
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=api.AckPolicy.NONE,
            filter_subject=prefix + ">",
            inactive_threshold=LISTING_SECONDS,
            mem_storage=True,
        )
        consumer = await self.bus.js.add_consumer(stream, config)
        values = await self.bus.js.pull_subscribe_bind(consumer.name, stream)
        left = consumer.num_pending or 0
        try:
            while left > 0:
                messages = await values.fetch(min(left, LISTING_BATCH), timeout=self.bus.settings.nats_request_seconds)
                for msg in messages:
                    listed.add(msg.subject.removeprefix(prefix))
                    self._hold(msg.subject.removeprefix(prefix), msg.metadata.sequence.stream, msg)
                left -= len(messages)
        except nats.errors.TimeoutError:  # fewer than there were: the others have been deleted since
            pass
        else:
            if bucket.created == self._created:
                self._drop(listed, bucket.state.last_seq)
            self._created = bucket.created
            self._hear_to(bucket.state.last_seq)
        finally:
            with suppress(*LOST):
                await values.unsubscribe()
                await self.bus.js.delete_consumer(stream, consumer.name)

    def _drop(self, listed: set[str], last: int) -> None:
        """What went while nobody here listened, and whose mark is gone too. Never of a bucket that was made anew: then
        what is remembered may be all there is."""
        for key in [key for key, (revision, _) in self._entries.items() if key not in listed and revision <= last]:
            del self._entries[key]
            self._heard_of(key)

    def hold(self, key: str, revision: int, value: bytes) -> None:
        if revision > self._entries.get(key, (0,))[0]:
            self._entries[key] = revision, value
            self._heard_of(key)

    async def catch_up(self) -> None:
        """Until everything is heard that the server had stored when this was called, whoever stored it. Raises LOST."""
        info = await self.bus.js.stream_info(self.bus.stream(f"KV_{self.bucket}"))
        try:
            async with asyncio.timeout(self.bus.settings.nats_request_seconds):
                while self._heard_to < info.state.last_seq:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:  # what should have told us was lost
            await self.list()
            if self._heard_to < info.state.last_seq:
                raise

    async def _heard(self, msg: Msg) -> None:
        prefix = self.bus.subject("live", self.bucket) + "."
        sequence = int((msg.headers or {})["Nats-Sequence"])
        self._hold(msg.subject.removeprefix(prefix), sequence, msg)
        self._hear_to(sequence)

    def _hear_to(self, sequence: int) -> None:
        self._heard_to = max(self._heard_to, sequence)
        self._news.set()

    def _hold(self, key: str, revision: int, msg: Msg) -> None:
        self.hold(key, revision, b"" if "KV-Operation" in (msg.headers or {}) else msg.data)
