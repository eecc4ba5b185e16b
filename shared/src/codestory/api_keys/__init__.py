"""API keys: what a file of them holds, how one is made, and how one that is shown is told. Knows contracts only."""

from codestory.api_keys.keys import (
    SCHEME,
    ApiKey,
    KeyFileError,
    KeyRing,
    Shown,
    digest,
    made,
    opened,
    parsed,
    read,
    rotated,
    without,
)

__all__ = [
    "SCHEME",
    "ApiKey",
    "KeyFileError",
    "KeyRing",
    "Shown",
    "digest",
    "made",
    "opened",
    "parsed",
    "read",
    "rotated",
    "without",
]
