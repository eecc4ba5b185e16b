"""The limits that may be changed while jobs run: tokens, each step's concurrency, and how many may hold each tag.

The server keeps the first two itself, with the setting that each was made from; the bucket `limits` keeps the tags',
and what of all of them was changed live, so that it outlives the broker's storage. Of a change live and a change of a
setting the later one counts."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import nats.js.errors
from nats.js import api
from pydantic import ValidationError

from codestory import telemetry
from codestory.bus import Bus, BusLost, Refused
from codestory.contracts.values import Value
from codestory.mirror import Mirror

log = telemetry.logger(__name__)

#: Metadata key: the setting that a live limit was last set from.
FROM_SETTING = "codestory-from-setting"
#: The keys of the bucket.
TOKENS, CONCURRENCY, RESOURCE = "tokens", "concurrency.", "resource."
#: Tries of one compare-and-set. Each lost one means that another has set it, so more is never needed.
TRIES = 100


class Limit(Value):
    value: int
    #: What was configured when this was written. None: nothing was.
    setting: int | None = None


class Limits:
    """A mirror of the bucket. `changed` is called for each key that changes, by whoever's hand."""

    def __init__(self, bus: Bus, life_seconds: float) -> None:
        self.bus = bus
        self.changed: Callable[[str], None] = lambda _: None
        self._life = life_seconds
        self._mirror = Mirror(bus, "limits", self._heard)
        self._tags: dict[str, int] = {}
        #: `resource_limits` of our own file as it was when last looked at.
        self._configured: dict[str, int] | None = None
        self._concurrencies: dict[str, int] = {}
        self._fresh_until = 0.0

    async def start(self) -> None:
        await self._mirror.start()

    async def relist(self) -> None:
        """Reconnected: something may have changed meanwhile."""
        self.forget_concurrencies()
        await self._mirror.list()

    def _heard(self, key: str) -> None:
        if key.startswith(CONCURRENCY):
            self.forget_concurrencies()
        self._tags = {
            key.removeprefix(RESOURCE): limit.value
            for key, limit in self._remembered().items()
            if key.startswith(RESOURCE)
        }
        self.changed(key)

    def _remembered(self) -> dict[str, Limit]:
        limits = {key: _limit(data) for key, (_, data) in self._mirror.entries.items()}
        return {key: limit for key, limit in limits.items() if limit}

    # what they are

    @property
    def tags(self) -> dict[str, int]:
        """How many may hold each limited tag."""
        return self._tags

    @property
    def configured(self) -> dict[str, int]:
        """`resource_limits` of our own file, when it was last read."""
        return self._configured or {}

    def made_with(self, key: str, setting: int | None) -> Limit | None:
        """What to make a limit with that the server does not have: what was live before, unless the setting changed.

        `setting` None: it is not known now."""
        entry = self._mirror.get(key)
        limit = _limit(entry[1]) if entry else None
        if limit and setting in {None, limit.setting}:
            return limit
        return None if setting is None else Limit(value=setting, setting=setting)

    async def concurrencies(self, steps: list[str]) -> dict[str, int]:
        """Of each of these steps, as the server had it at most `life_seconds` ago."""
        clock = asyncio.get_running_loop().time()
        if clock >= self._fresh_until or any(step not in self._concurrencies for step in steps):
            self._fresh_until = clock + self._life  # before: what is changed meanwhile ends it at once
            found = await asyncio.gather(*(self._config_of(step) for step in steps))
            self._concurrencies = {
                step: (config.max_ack_pending or 1) if config else 1 for step, config in zip(steps, found, strict=True)
            }
        return dict(self._concurrencies)

    def forget_concurrencies(self) -> None:
        self._fresh_until = 0.0

    async def _config_of(self, step: str) -> api.ConsumerConfig | None:
        """None: its consumer is yet to be declared."""
        try:
            return (await self.bus.js.consumer_info(self.bus.stream("RUN"), step)).config
        except nats.js.errors.NotFoundError:
            return None

    # changing them

    async def configure(self, resource_limits: dict[str, int]) -> None:
        """Our own file says this. Where it says something else than when a limit was last set, the file counts."""
        if resource_limits == self._configured:
            return
        before = {key.removeprefix(RESOURCE) for key in self._mirror.entries if key.startswith(RESOURCE)}
        for tag in before | set(resource_limits):
            setting = resource_limits.get(tag)
            wished = None if setting is None else Limit(value=setting, setting=setting)
            await self._change(RESOURCE + tag, lambda now, wished=wished: _configured(now, wished))
        self._configured = dict(resource_limits)

    async def set_tags(self, limits: dict[str, int | None], configured: dict[str, int]) -> None:
        """None: as configured."""
        for tag, asked in limits.items():
            setting = configured.get(tag)
            value = setting if asked is None else asked
            wished = None if value is None else Limit(value=value, setting=setting)
            await self._change(RESOURCE + tag, lambda _, wished=wished: wished)
            log.info("limits.changed", resource=tag, value=value)

    async def set_tokens(self, value: int) -> api.StreamInfo:
        """The server's own limit first: it is what counts."""
        config = (await self.bus.js.stream_info(self.bus.stream("RUN"))).config
        info = await self.bus.js.update_stream(config.evolve(max_msgs=value))
        log.info("limits.changed", tokens=value)
        await self._note(TOKENS, value, config.metadata)
        return info

    async def set_concurrency(self, step: str, value: int) -> bool:
        """False: the step is not declared."""
        config = await self._config_of(step)
        if config is None:
            return False
        await self.bus.js.add_consumer(self.bus.stream("RUN"), config.evolve(max_ack_pending=value))
        self.forget_concurrencies()
        log.info("limits.changed", step=step, concurrency=value)
        await self._note(CONCURRENCY + step, value, config.metadata)
        return True

    async def observe(self, steps: list[str]) -> None:
        """Note what was changed live by other means: by the `nats` command, or by who died before noting it."""
        run = (await self.bus.js.stream_info(self.bus.stream("RUN"))).config
        await self._note(TOKENS, run.max_msgs or 0, run.metadata)
        for step in steps:
            if config := await self._config_of(step):
                await self._note(CONCURRENCY + step, config.max_ack_pending or 1, config.metadata)

    async def _note(self, key: str, value: int, metadata: dict[str, str] | None) -> None:
        setting = _setting(metadata)
        wished = None if value == setting else Limit(value=value, setting=setting)
        entry = self._mirror.get(key)
        if wished != (_limit(entry[1]) if entry else None):
            await self._change(key, lambda _: wished)

    async def _change(self, key: str, how: Callable[[Limit | None], Limit | None]) -> None:
        """Write what `how` makes of the limit as it is now. None: there is none."""
        for _ in range(TRIES):
            found = await self.bus.value("limits", key)
            now = _limit(found.data) if found else None
            wished = how(now)
            if wished == now:
                return
            revision = found.sequence if found else await self._last(key)
            with suppress(Refused):
                data = wished.model_dump_json().encode() if wished else b""
                headers = {} if wished else {"KV-Operation": "DEL"}
                revision = await self.bus.publish(
                    self.bus.key("limits", key), data, after=revision, headers=headers, what="limit"
                )
                self._mirror.hold(key, revision, data)
                return
        raise BusLost(f"the limit {key} does not hold still")

    async def _last(self, key: str) -> int:
        """Of a key that was deleted, or never was."""
        last = await self.bus.last("KV_limits", self.bus.key("limits", key))
        return last.sequence if last else 0

    # a broker that lost its storage

    async def restore(self) -> None:
        """Put back what we remember, and make it count where another has declared a limit anew from its setting alone.

        To be called once streams and consumers are declared."""
        remembered = self._remembered()
        for key, limit in remembered.items():
            if key == TOKENS:
                run = (await self.bus.js.stream_info(self.bus.stream("RUN"))).config
                if _untouched(run.max_msgs, run.metadata, limit):
                    await self.bus.js.update_stream(run.evolve(max_msgs=limit.value))
            elif key.startswith(CONCURRENCY):
                config = await self._config_of(key.removeprefix(CONCURRENCY))
                if config and _untouched(config.max_ack_pending, config.metadata, limit):
                    changed = config.evolve(max_ack_pending=limit.value)
                    await self.bus.js.add_consumer(self.bus.stream("RUN"), changed)
            await self._change(key, lambda now, limit=limit: limit if _of_setting(now, limit) else now)
        self._mirror.forget()  # only now: until all is back, what we remember is all there is
        await self.relist()


def _limit(data: bytes) -> Limit | None:
    if not data:
        return None
    try:
        return Limit.model_validate_json(data)
    except ValidationError as error:
        log.warning("limit.unreadable", error=str(error)[:500])
        return None


def _setting(metadata: dict[str, str] | None) -> int | None:
    text = (metadata or {}).get(FROM_SETTING, "")
    return int(text) if text.isdecimal() else None


def _configured(now: Limit | None, wished: Limit | None) -> Limit | None:
    """What a limit becomes by the file: as it is, unless the file said something else when it was set."""
    return now if (now.setting if now else None) == (wished.setting if wished else None) else wished


def _of_setting(now: Limit | None, remembered: Limit) -> bool:
    """Nobody has changed it since the storage was lost."""
    return now is None or (now.value == now.setting == remembered.setting)


def _untouched(value: int | None, metadata: dict[str, str] | None, remembered: Limit) -> bool:
    return value == _setting(metadata) == remembered.setting and value != remembered.value
