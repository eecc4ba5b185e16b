"""Which steps exist, as their own services have said, and which of their workers live."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from nats.aio.msg import Msg
from pydantic import ValidationError

from codestory import cancelling, telemetry
from codestory.bus import LOST, Bus
from codestory.contracts.api import StepInfo
from codestory.contracts.services import Registration
from codestory.mirror import Mirror

log = telemetry.logger(__name__)


class Registry:
    """A mirror of the bucket `steps`. `welcome` is called for each step that is new here, before it is known."""

    def __init__(self, bus: Bus, welcome: Callable[[str], Awaitable[None]], life_seconds: float) -> None:
        self.bus = bus
        self._life = life_seconds
        self._welcome = welcome
        self._known: dict[str, StepInfo] = {}
        self._changed = asyncio.Event()
        self._mirror = Mirror(bus, "steps", lambda _: self._changed.set())
        self._living: Counter[str] = Counter()
        self._listens = False
        #: Until when `_living` is good enough to admit by.
        self._living_until = 0.0
        #: Since when, by our own clock, no worker of a step has been seen to live.
        self._silent: dict[str, float] = {}

    @property
    def steps(self) -> dict[str, StepInfo]:
        return dict(self._known)

    def registrations(self) -> dict[str, Registration]:
        """With what their services have said of themselves."""
        found: dict[str, Registration] = {}
        for name, (_, data) in self._mirror.entries.items():
            with suppress(ValidationError):
                found[name] = Registration.model_validate_json(data)
        return found

    async def start(self) -> None:
        """What was interrupted may be begun again."""
        if not self._listens:
            await self.bus.nc.subscribe(self.bus.subject("live", "workers", ">"), cb=self._heard_of_worker)
            await self.bus.nc.subscribe(self.bus.subject("gone", "*", "*"), cb=self._heard_of_end)
            self._listens = True
        await self._mirror.start()
        await self.update()

    async def relist(self) -> None:
        await self._mirror.list()
        self._changed.set()

    async def forget(self) -> None:
        """After a loss of the broker's storage: each service says anew that it exists."""
        self._mirror.forget()
        for name in list(self._known):
            await self._welcome(name)  # what was known still exists: only its consumers are gone
        await self.relist()

    async def watch(self) -> None:
        """Welcome what comes. Runs until cancelled."""
        while not cancelling.cancelled():
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.update()
            except LOST:
                await asyncio.sleep(0.2)
                self._changed.set()

    async def update(self) -> None:
        for name, (_, data) in self._mirror.entries.items():
            info = _info(name, data)
            if info is None:
                continue
            if name not in self._known:
                log.info("step.registered", step=name, version=info.version)
            await self._welcome(name)
            self._known[name] = info

    async def living(self) -> Counter[str]:
        """Workers alive, by step."""
        asked = asyncio.get_running_loop().time()
        prefix = self.bus.key("workers", "")
        subjects = await self.bus.subjects("KV_workers", self.bus.key("workers", ">"))
        steps = [subject.removeprefix(prefix).partition(".")[0] for subject in subjects]
        self._living = Counter(step for step in steps if step in self._known)
        self._living_until = asked + self._life
        self._silent = {step: self._silent.get(step, asked) for step in self._known if step not in self._living}
        return self._living

    async def lately_living(self) -> Counter[str]:
        """The same, as it was at most `limits_seconds` ago; a worker that is new is known at once."""
        if asyncio.get_running_loop().time() < self._living_until:
            return self._living
        return await self.living()

    def silent_for(self, step: str) -> float:
        """For how many seconds it has had no living worker, as far as this process has looked."""
        since = self._silent.get(step)
        return asyncio.get_running_loop().time() - since if since is not None else 0.0

    def forget_silence(self) -> None:
        """Reconnected: after the broker was away everybody looks dead for a moment."""
        self._silent.clear()
        self._living_until = 0.0

    async def _heard_of_worker(self, msg: Msg) -> None:
        step = msg.subject.split(".")[-2]
        if step in self._known and step not in self._living:
            self._living_until = 0.0

    async def _heard_of_end(self, msg: Msg) -> None:
        """A worker has ended in good order. Who hears of none finds it gone a little later, by the age of its key."""
        *_, step, worker = msg.subject.split(".")
        self._living_until = 0.0
        self.bus.in_background(self._forget_worker(step, worker))

    async def _forget_worker(self, step: str, worker: str) -> None:
        with suppress(*LOST):
            await self.bus.purge("KV_workers", self.bus.key("workers", f"{step}.{worker}"))
            self._living_until = 0.0


def _info(name: str, data: bytes) -> StepInfo | None:
    try:
        info = StepInfo.model_validate_json(data)
    except ValidationError as error:
        log.warning("step.unreadable", step=name, error=str(error)[:500])
        return None
    return info if info.name == name else None
