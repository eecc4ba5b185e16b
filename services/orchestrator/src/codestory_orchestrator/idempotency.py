"""A request that bears an Idempotency-Key makes one thing, however often it comes and whoever is asked.

Before anything is made the key is bound to the id that it will have. Whoever hears the same request again makes the
thing of that id, or finds it made. So a crash in between costs nothing, and no two orchestrators make two.

A request that was refused binds its key no longer: a corrected one may take its place. The same request keeps its id
even then, because another orchestrator may be about to make it.

What was made and has been removed since is not made anew: a removed record leaves a mark that outlives the key."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from codestory import telemetry
from codestory.bus import LOST, Bus, BusLost, Refused, Stored
from codestory.contracts.values import Value
from codestory_orchestrator.errors import (
    Forgotten,
    IngestionError,
    JobNotFound,
    KeyReused,
    ServiceUnavailable,
    Throttled,
)
from codestory_orchestrator.records import TRIES

log = telemetry.logger(__name__)

BUCKET = "idempotency"

Made = TypeVar("Made")


class Reserved(Value):
    """What a key is bound to."""

    fingerprint: str
    id: str
    #: It made nothing the last time that it was heard.
    refused: bool = False


@dataclass(frozen=True)
class Kind:
    """What is made: jobs, or schedules. `forgotten`: the thing of this id was made, and has been removed since."""

    new_id: Callable[[], str]
    forgotten: Callable[[str], Awaitable[bool]]


@dataclass(frozen=True)
class Idempotency:
    bus: Bus

    async def once(
        self,
        request: BaseModel,
        *,
        key: str,
        owner: str,
        kind: Kind,
        make: Callable[[str], Awaitable[Made]],
    ) -> Made:
        """`make`: makes the thing of this id; or gives it as it is, where there is one of this id."""
        name = _digest(owner, type(request).__name__, key)
        try:
            reserved, revision = await self._reserve(name, _fingerprint(request), kind)
            if await kind.forgotten(reserved.id):
                raise Forgotten(reserved.id)
        except LOST as error:
            raise ServiceUnavailable from error
        try:
            return await make(reserved.id)
        except (Refused, JobNotFound) as error:  # it has just been removed
            raise Forgotten(reserved.id) from error
        except (ServiceUnavailable, Forgotten):
            raise  # nobody knows whether it was made, or it was
        except IngestionError as error:
            given_up = isinstance(error, Throttled) and error.made
            await self._release(name, reserved, revision, new_id=kind.new_id() if given_up else reserved.id)
            raise

    async def _reserve(self, name: str, fingerprint: str, kind: Kind) -> tuple[Reserved, int]:
        """What the key is bound to, and the revision of that. Raises KeyReused."""
        found: Stored | None = None
        for attempt in range(TRIES):
            if attempt:
                found = await self.bus.last(f"KV_{BUCKET}", self.bus.key(BUCKET, name))
            bound = _read(found)
            if bound and found and bound.fingerprint == fingerprint and not bound.refused:
                return bound, found.sequence
            if bound and bound.fingerprint != fingerprint and not bound.refused:
                raise KeyReused
            same = bound is not None and bound.fingerprint == fingerprint
            wished = Reserved(fingerprint=fingerprint, id=bound.id if bound and same else kind.new_id())
            with suppress(Refused):
                return wished, await self._write(name, wished, found.sequence if found else 0, "reserve")
        raise BusLost("the record of an Idempotency-Key does not hold still")

    async def _release(self, name: str, reserved: Reserved, revision: int, new_id: str) -> None:
        """Not done, because somebody else did or nobody answers: then the key stays bound, and the request says so."""
        with suppress(Refused, *LOST):
            freed = reserved.model_copy(update={"refused": True, "id": new_id})
            await self._write(name, freed, revision, "release")

    async def _write(self, name: str, record: Reserved, revision: int, what: str) -> int:
        return await self.bus.publish(self.bus.key(BUCKET, name), record, after=revision, what=what)


def _fingerprint(request: BaseModel) -> str:
    """Of what is asked for, however its JSON is written."""
    content = request.model_dump(mode="json", exclude_defaults=True)
    return _digest(json.dumps(content, sort_keys=True, separators=(",", ":")))


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(found: Stored | None) -> Reserved | None:
    if found is None or "KV-Operation" in found.headers:
        return None
    try:
        return Reserved.model_validate_json(found.data)
    except ValidationError as error:
        log.warning("idempotency.unreadable", error=str(error)[:500])
        return None
