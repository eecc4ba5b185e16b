"""Who asks, and what they may."""

from typing import Annotated, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection

from codestory.contracts.access import Principal, Role
from codestory_orchestrator.access.door import Door
from codestory_orchestrator.access.grants import Grant
from codestory_orchestrator.api.gate import GRANT


def granted(connection: HTTPConnection) -> Grant:
    """What the gate has let them in with. There is no route that it does not stand before."""
    return cast("Grant", connection.scope["state"][GRANT])


def caller(connection: HTTPConnection) -> Principal:
    """Who asks. Without authentication: everybody, who may everything."""
    return granted(connection).principal


def door(connection: HTTPConnection) -> Door:
    return cast("Door", connection.app.state.door)


def only_theirs(principal: Principal) -> str | None:
    """Whose things they see; None: everybody's."""
    return None if principal.role is Role.ADMIN else principal.owner


#: How a route asks for who asks.
Caller = Annotated[Principal, Depends(caller)]
Granted = Annotated[Grant, Depends(granted)]
