"""The languages that Blarify parses, as File nodes name them, by what a file's name ends in."""

#: Ending of the name to the language, and to the ending by which Blarify knows it.
_PARSED = {
    "Python": {"py": "py", "pyw": "py"},
    "JavaScript": {"js": "js", "jsx": "jsx", "mjs": "js", "cjs": "js"},
    "TypeScript": {"ts": "ts", "tsx": "tsx", "mts": "ts", "cts": "ts"},
    "Ruby": {"rb": "rb", "rake": "rb", "gemspec": "rb"},
    "C#": {"cs": "cs", "csx": "cs"},
    "Go": {"go": "go"},
    "PHP": {"php": "php", "phtml": "php"},
    "Java": {"java": "java"},
}
_BY_ENDING = {ending: (language, known) for language, endings in _PARSED.items() for ending, known in endings.items()}


def language_of(name: str) -> str | None:
    """None if Blarify does not parse such a file."""
    found = _BY_ENDING.get(_ending(name))
    return found[0] if found else None


def known_name(name: str) -> str:
    """The name under which Blarify parses the file: `tool.mjs.js` for `tool.mjs`."""
    _, known = _BY_ENDING[_ending(name)]
    return name if name.endswith(f".{known}") else f"{name}.{known}"


def _ending(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    return ending.lower() if stem else ""
