"""One archive, bounded, in which nothing stands that looks like a secret or is known to be one. No server, no clock."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from codestory.redaction import Cleaner
from codestory_orchestrator.bundles.contents import FILES, HEAD, MANIFEST, README

#: Who unpacks it may read and write it, and nobody else.
MODE = 0o600 << 16
#: Of why a file is missing.
REASON_CHARS = 500


@dataclass(frozen=True)
class Entry:
    content: bytes
    #: What was left out of it; empty: nothing.
    cut: str = ""


class Archive:
    """`most`: bytes of all files together, unpacked, beside the two that tell what is in it."""

    def __init__(self, most: int, cleaner: Cleaner) -> None:
        self._most, self._cleaner = most, cleaner
        self._entries: dict[str, Entry] = {}
        self._missing: dict[str, str] = {}

    @property
    def room(self) -> int:
        return self._most - sum(len(entry.content) for entry in self._entries.values())

    def miss(self, name: str, why: str) -> None:
        """The file is not in it, and this is why."""
        self._missing[name] = self._cleaner.text(why)[:REASON_CHARS]

    def add(self, name: str, value: JsonValue) -> None:
        self._put(name, _json(self._cleaner.value(value), indent=1))

    def add_text(self, name: str, text: str) -> None:
        self._put(name, self._cleaner.text(text).encode("utf-8", "replace"))

    def line(self, value: JsonValue) -> bytes:
        """One line of a file that is made of such."""
        return _json(self._cleaner.value(value))

    def add_lines(self, name: str, lines: Sequence[bytes], cut: str = "") -> None:
        """Made by `line`. `cut`: what is missing of them."""
        self._put(name, b"".join(lines), cut)

    def _put(self, name: str, content: bytes, cut: str = "") -> None:
        if len(content) > self.room:
            self.miss(name, f"too large: {len(content):,} bytes, and {self.room:,} were left")
        else:
            self._entries[name] = Entry(content, cut)

    def close(self, job: str, made_at: datetime, version: str, reader: str) -> bytes:
        """As a zip file. `reader`: for whom it was made."""
        about: dict[str, JsonValue] = {
            "job": job,
            "made_at": made_at.isoformat(),
            "code_story": version,
            "made_for": reader,
            "files": [
                {"name": name, "bytes": len(entry.content), "about": FILES.get(name, ""), "cut": entry.cut}
                for name, entry in self._entries.items()
            ],
            "missing": [
                {"name": name, "about": FILES.get(name, ""), "why": why} for name, why in self._missing.items()
            ],
        }
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            _write(file, README, self._readme(job, made_at, version, reader).encode(), made_at)
            _write(file, MANIFEST, _json(about, indent=1), made_at)
            for name, entry in self._entries.items():
                _write(file, name, entry.content, made_at)
        return packed.getvalue()

    def _readme(self, job: str, made_at: datetime, version: str, reader: str) -> str:
        lines = [HEAD.format(job=job, at=made_at.isoformat(timespec="seconds"), version=version, reader=reader)]
        for name, entry in self._entries.items():
            lines.append(f"- `{name}`: {FILES.get(name, '')}" + (f" **Cut: {entry.cut}.**" if entry.cut else ""))
        if self._missing:
            lines += ["", "## What is not in it, and why", ""]
            lines += [f"- `{name}`: {why}" for name, why in self._missing.items()]
        return "\n".join(lines) + "\n"


def _json(value: JsonValue, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _write(file: zipfile.ZipFile, name: str, content: bytes, at: datetime) -> None:
    info = zipfile.ZipInfo(name, at.timetuple()[:6])
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, MODE
    file.writestr(info, content)
