"""Who is let in, with what, and for how long."""

from collections.abc import Mapping
from typing import Final

import httpx

from codestory import telemetry
from codestory.api_keys import SCHEME
from codestory.contracts.access import Principal, Ticket
from codestory.contracts.api import Check
from codestory_orchestrator.access.grants import OPEN, Grant
from codestory_orchestrator.access.keys import Keys
from codestory_orchestrator.access.rates import Rates
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.access.tickets import Tickets
from codestory_orchestrator.access.tokens import Tokens
from codestory_orchestrator.errors import ServiceUnavailable, Unauthenticated

log = telemetry.logger(__name__)

_LONGEST: Final = 256


class Door:
    """Without a file of keys and without an issuer it stands open. `tickets`: None where there is no bus."""

    def __init__(
        self,
        settings: AccessSettings,
        tickets: Tickets | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings, self._tickets = settings, tickets
        self._keys = Keys(settings.api_keys_file, settings.api_keys_seconds) if settings.api_keys_file else None
        self._tokens = Tokens(settings, transport) if settings.oidc_issuer else None
        self._rates = Rates(settings.requests_per_minute, settings.submissions_per_minute)

    def announce(self) -> None:
        """Say in the log who is let in."""
        if self.open:
            log.warning("access.open", meaning="everybody on this machine may do everything")
        else:
            log.info(
                "access.authenticated", keys=str(self.settings.api_keys_file or ""), issuer=self.settings.oidc_issuer
            )

    async def close(self) -> None:
        if self._tokens:
            await self._tokens.close()

    @property
    def open(self) -> bool:
        return not self.settings.authenticates

    async def grant(self, headers: Mapping[str, str], ticket: str = "") -> Grant:
        """Raises Unauthenticated, RoleMissing, ServiceUnavailable. `ticket`: it is used up."""
        if self.open:
            return OPEN
        shown = _shown(headers)
        if shown.startswith(f"{SCHEME}_"):
            if self._keys:
                return self._keys.grant(shown)
            raise Unauthenticated("This service takes no API keys, but tokens of its issuer.")
        if shown:
            if self._tokens:
                return await self._tokens.grant(shown)
            raise Unauthenticated("This is no API key of Code Story: they begin with csk_.")
        if ticket and self._tickets:
            grant = await self._tickets.take(ticket[:_LONGEST])
            if self.still_valid(grant):
                return grant
        raise Unauthenticated

    async def ticket(self, grant: Grant) -> Ticket:
        if self._tickets is None:
            raise ServiceUnavailable
        return await self._tickets.give(grant)

    def still_valid(self, grant: Grant) -> bool:
        if self.open:
            return True
        if grant.expired:
            return False
        return not grant.key or (self._keys is not None and self._keys.still_has(grant))

    def count(self, principal: Principal, kind: str = "requests") -> None:
        """Raises RateLimited."""
        if not self.open:
            self._rates.take(principal, kind)

    def check(self) -> Check:
        """For the health report."""
        if self.open:
            return Check(status="pass", detail="no authentication: this machine only", observed={"mode": "open"})
        keys, issuer = self._keys, self.settings.oidc_issuer
        observed = {"mode": "authenticated", "keys": len(keys) if keys else 0, "issuer": issuer}
        problem = keys.problem if keys else ""
        detail = f"{problem}; the keys known before still count" if problem else ""
        return Check(status="warn" if problem else "pass", detail=detail, observed=observed)


def _shown(headers: Mapping[str, str]) -> str:
    """What came with the request; `Authorization` goes before `X-API-Key`."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if not kind:
        return headers.get("x-api-key", "").strip()
    if kind.lower() != "bearer" or not value.strip():
        raise Unauthenticated("`Authorization` has to be: Bearer, a space, and the key or token.")
    return value.strip()
