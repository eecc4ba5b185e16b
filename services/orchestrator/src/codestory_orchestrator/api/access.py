"""Who asks, and what they may."""

from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from codestory.contracts.access import EVERYBODY, Principal


def caller(connection: HTTPConnection) -> Principal:
    """Who asks. Without authentication: everybody, who may everything."""
    principal = getattr(connection.state, "principal", EVERYBODY)
    assert isinstance(principal, Principal)
    return principal


#: How a route asks for who asks.
Caller = Annotated[Principal, Depends(caller)]
