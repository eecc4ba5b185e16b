"""Who asks, and what they may."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from codestory.contracts.values import Value


class Role(StrEnum):
    """Each may what those before it may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # make jobs and schedules, and change one's own
    ADMIN = "admin"  # everything, whoever owns it

    def may(self, wanted: "Role") -> bool:
        roles = tuple(Role)
        return roles.index(self) >= roles.index(wanted)


class Principal(Value):
    """Who asks. Jobs, schedules and snapshots belong to `owner`; several keys may share one.

    Without authentication, on loopback, everybody is the admin whose `owner` is empty."""

    owner: Annotated[str, Field(max_length=300)] = ""
    role: Role = Role.ADMIN
    #: What the log says of them: the key's id, or the token's subject. Never a secret.
    name: Annotated[str, Field(max_length=300)] = ""

    def sees(self, owner: str) -> bool:
        """Whether what belongs to `owner` exists for them."""
        return self.role is Role.ADMIN or owner == self.owner


class Ticket(Value):
    """Lets one WebSocket in, once, as whoever asked for it."""

    ticket: str
    expires_at: datetime


#: Who nobody has to be told from others: dev mode on loopback, schedules, the operators' requests over NATS.
EVERYBODY = Principal()
