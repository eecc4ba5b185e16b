"""How fast secrets are looked for in a source tree, and how many made-up ones are found, beside detect-secrets.

    python benchmarks/redaction.py FOLDER [--peer]

The peer is not among our dependencies: `pip install detect-secrets==1.5.0` first. It finds and does not replace. It
gets each text as a file, as it wants it, with its default plugins and filters; nothing is verified over a network."""

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codestory.redaction import redact
from codestory.testing_secrets import corpus, hidden, written

#: Megabytes in a second of one core, on text with hardly a secret in it.
LEAST = 20.0
SUFFIXES = {
    ".py",
    ".js",
    ".ts",
    ".go",
    ".java",
    ".html",
    ".css",
    ".md",
    ".rst",
    ".txt",
    ".toml",
    ".yml",
    ".json",
    ".po",
}

Found = Callable[[str], bool]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and recall of redaction")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[1] / "shared")
    parser.add_argument("--peer", action="store_true", help="detect-secrets on the same texts")
    asked = parser.parse_args()
    paths = [path for path in sorted(asked.folder.rglob("*")) if path.is_file() and path.suffix in SUFFIXES]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    size = sum(len(text.encode(errors="replace")) for text in texts) / 1e6
    print(f"{asked.folder.name}: {len(texts)} files, {size:.1f} MB, {sum(text.count(chr(10)) for text in texts)} lines")
    ours = _speed("ours", texts, size, lambda text: bool(redact(text)))
    print(f"  limit {LEAST:.0f} MB/s, ratio {LEAST / ours:.2f}")
    _recall("ours", lambda text, value: value not in redact(text).text)
    if asked.peer:
        with _peer() as finds:
            theirs = _speed("detect-secrets", texts, size, finds)
            print(f"  ours / theirs: {ours / theirs:.1f} times")
            _recall("detect-secrets", lambda text, _value: finds(text))


def _speed(name: str, texts: list[str], size: float, finds: Found) -> float:
    started = time.process_time()
    hits = sum(finds(text) for text in texts)
    seconds = time.process_time() - started
    print(f"  {name}: {seconds:.2f} s of CPU, {size / seconds:.1f} MB/s, {hits} files with secrets")
    return size / seconds


def _recall(name: str, gone: Callable[[str, str], bool]) -> None:
    """Of the secrets that we make up ourselves, in all their syntaxes: our own rules had them in sight."""
    cases = [(secret, text) for secret in corpus(11) for text in written(secret).values()]
    for what, by_form in (("by form", True), ("by name", False)):
        chosen = [(secret, text) for secret, text in cases if secret.by_form is by_form]
        found = sum(gone(text, hidden(secret)) for secret, text in chosen)
        print(f"  {name}: {found} of {len(chosen)} found {what} ({found / len(chosen):.1%})")


@contextmanager
def _peer() -> Generator[Found]:
    scan: Any = importlib.import_module("detect_secrets.core.scan")
    settings: Any = importlib.import_module("detect_secrets.settings")
    with settings.default_settings() as chosen, tempfile.TemporaryDirectory() as folder:
        for network in [name for name in chosen.filters if "verification" in name]:
            chosen.filters.pop(network)
        path = Path(folder) / "text.py"

        def finds(text: str) -> bool:
            path.write_text(text, encoding="utf-8")
            return any(list(scan.scan_file(str(path))))

        yield finds


if __name__ == "__main__":
    main()
