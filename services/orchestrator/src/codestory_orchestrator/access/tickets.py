"""Tickets: what a browser, which sends no header with a WebSocket, shows instead. Each is good once, and soon over.

They lie in a bucket under their hashes, so that any orchestrator takes what another has given."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from codestory.bus import LOST, Bus, Refused
from codestory.contracts.access import Ticket
from codestory.contracts.values import Value
from codestory_orchestrator.access.grants import Grant
from codestory_orchestrator.errors import ServiceUnavailable, Unauthenticated

BUCKET: Final = "tickets"
#: Seconds that the bucket keeps a key beyond the ticket's own time.
KEPT_LONGER: Final = 30


class Kept(Value):
    grant: Grant
    #: By the message bus's clock.
    until: datetime


class Tickets:
    def __init__(self, bus: Bus, seconds: int) -> None:
        self.bus, self._seconds = bus, seconds

    async def give(self, grant: Grant) -> Ticket:
        """For whoever has been let in by this grant."""
        text = secrets.token_urlsafe(32)
        kept = Kept(grant=grant, until=self.bus.now() + timedelta(seconds=self._seconds))
        try:
            await self.bus.publish(self._key(text), kept, after=0, what="ticket")
        except (Refused, *LOST) as error:
            raise ServiceUnavailable from error
        return Ticket(ticket=text, expires_at=kept.until)

    async def take(self, text: str) -> Grant:
        """The grant of a ticket, which is used up. Raises Unauthenticated: two that come with one, one is let in.

        When the answer is lost nobody is let in, and the ticket is gone: another one costs little."""
        try:
            found = await self.bus.last(f"KV_{BUCKET}", self._key(text))
            if found is None or "KV-Operation" in found.headers:
                raise _used_up()
            kept = Kept.model_validate_json(found.data)
            await self.bus.publish(
                self._key(text), after=found.sequence, headers={"KV-Operation": "DEL"}, what="ticket-used"
            )
        except (Refused, ValidationError) as error:
            raise _used_up() from error
        except LOST as error:
            raise ServiceUnavailable from error
        if self.bus.now() >= kept.until:
            raise _used_up()
        return kept.grant

    def _key(self, text: str) -> str:
        return self.bus.key(BUCKET, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def _used_up() -> Unauthenticated:
    return Unauthenticated("This ticket has been used, or is over. Ask for another one: POST /v1/ingest/tickets")
