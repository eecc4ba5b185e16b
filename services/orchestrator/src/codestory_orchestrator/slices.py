"""Long lists, a piece at a time, so that whoever asks meanwhile need not wait for the end of them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

#: A piece takes a millisecond or two.
PIECE = 500


async def slices(items: Iterable[Item], size: int = PIECE) -> AsyncIterator[list[Item]]:
    """All that is there when this begins; before each piece but the first others get their turn."""
    left = iter(tuple(items))
    first = True
    while piece := list(islice(left, size)):
        if not first:
            await asyncio.sleep(0)
        first = False
        yield piece
