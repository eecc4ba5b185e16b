"""What somebody was let in with."""

from datetime import UTC, datetime

from pydantic import AwareDatetime

from codestory.contracts.access import EVERYBODY, Principal, Role
from codestory.contracts.values import Value


class Grant(Value):
    """Who asks, and until when. Bears no secret, so that a ticket can hold it."""

    principal: Principal
    #: None: for as long as its key is there.
    expires_at: AwareDatetime | None = None
    #: The API key that it came by, and the beginning of its secret's hash: another secret, another grant.
    key: str = ""
    proof: str = ""

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and datetime.now(UTC) >= self.expires_at


#: Without authentication.
OPEN = Grant(principal=EVERYBODY)
#: Where nobody has to say who they are: probes. Sees nothing of anybody.
NOBODY = Grant(principal=Principal(role=Role.VIEWER, name="nobody"))
