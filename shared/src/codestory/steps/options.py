"""A step receives the options that its model declares; the rest of what was meant for every step is dropped."""

from collections.abc import Set as AbstractSet

from codestory.contracts.plans import Options


def split(declared: AbstractSet[str], given: Options) -> tuple[Options, tuple[str, ...]]:
    """(what the step declares, the names of the rest)."""
    return {k: v for k, v in given.items() if k in declared}, tuple(sorted(given.keys() - declared))
