"""Which words of a text look like a path."""

import re
from collections.abc import Iterator

#: A run of characters that paths are made of.
_RUN = re.compile(r"[\w./@+~-]{3,}")
_EXTENSION = re.compile(r"\w\.\w")


def paths(text: str, line: int = 1) -> Iterator[tuple[str, int]]:
    """Words with a slash or an extension, each with its line; `line` is that of the text's start."""
    for offset, row in enumerate(text.split("\n")):
        if "/" not in row and "." not in row:
            continue
        for match in _RUN.finditer(row):
            word = match.group().rstrip(".-")
            if not word.startswith("//") and ("/" in word or _EXTENSION.search(word)):
                yield word, line + offset
