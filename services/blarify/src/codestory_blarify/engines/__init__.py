"""Engines: each finds what definitions do to each other in the files of some languages. One file, one class."""

from codestory_blarify.engines.pyrefly import Pyrefly
from codestory_blarify.references import Engine
from codestory_blarify.settings import BlarifySettings


def engines(settings: BlarifySettings) -> tuple[Engine, ...]:
    """Every engine there is. A language that none of them names has its hierarchy, and no references."""
    return (Pyrefly(settings.pyrefly, settings.limits),)


__all__ = ["engines"]
