"""What all workers of a deployment may ask of one model, as providers need it; the graph room's `Budget` is one."""

from collections.abc import Mapping
from typing import Protocol


class Budget(Protocol):
    async def reserve(self, amounts: Mapping[str, float], per_minute: Mapping[str, float]) -> float:
        """Take these amounts now; the seconds to wait before they may be used."""
        ...

    async def hold_off(self, seconds: float) -> None:
        """Nobody starts before."""
        ...
