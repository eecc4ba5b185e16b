"""Packs things."""

from pack.core import Engine
from pack.tools import measure

__all__ = ["Engine", "measure"]
