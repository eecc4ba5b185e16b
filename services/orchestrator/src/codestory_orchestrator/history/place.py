"""Where somebody stands in the history of a job, and what comes from there. Knows nothing of the bus."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Place:
    job: str
    #: The first sequence that has not been told; 0: what there is.
    start: int = 0
    #: Which life of the stream this sequence belongs to; 0: not known.
    epoch: int = 0


@dataclass(frozen=True)
class Feed(Generic[Item]):
    """`items` None: all has been told already. An item None: nothing new for as long as was asked for."""

    items: AsyncGenerator[Item | None] | None
    epoch: int
