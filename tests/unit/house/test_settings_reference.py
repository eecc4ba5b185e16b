"""docs/reference/settings.md says what the settings classes say. Run this file to write it anew:

.venv/bin/python tests/unit/house/test_settings_reference.py"""

import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from codestory.bus_settings import BusSettings
from codestory.cli.settings import CliSettings
from codestory.client._access import ClientSettings
from codestory.containers.settings import ContainersSettings
from codestory.files.confined import FileSettings
from codestory.graph import GraphSettings
from codestory.local import LocalSettings
from codestory.snapshots.settings import CacheSettings
from codestory.steps.operations import ServiceSettings
from codestory.steps.settings import HostSettings
from codestory_blarify.settings import BlarifySettings
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.fetching.settings import FetchSettings
from codestory_orchestrator.settings import OrchestratorSettings
from codestory_summarizer.settings import SummarizerSettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
HEAD = """\
# Settings

Environment variables, each with the prefix `CODESTORY_`. The embedded stack takes those of the shell that starts it
and hands them to every process. Secrets may be given as files (`…_FILE`); the file wins. This page is made from the
settings classes, and a test keeps it so.
"""
ROOMS: dict[str, type[BaseSettings]] = {
    "The embedded stack": LocalSettings,
    "The orchestrator": OrchestratorSettings,
    "Who may ask the orchestrator": AccessSettings,
    "Repositories that the orchestrator fetches": FetchSettings,
    "The host of a step": HostSettings,
    "Snapshots, where a step unpacks them": CacheSettings,
    "The bus, for orchestrator and hosts alike": BusSettings,
    "The graph": GraphSettings,
    "Reading a repository": FileSettings,
    "The blarify step": BlarifySettings,
    "The summarizer's models": SummarizerSettings,
    "The command line": CliSettings,
    "The command line, for a service in containers": ContainersSettings,
    "The client, and so the command line": ClientSettings,
    "A step's operations from Python": ServiceSettings,
}
FIELD = re.compile(r"((?:    #:.*\n)*)    (\w+): ")


def reference() -> str:
    return "\n".join([HEAD, *(_room(title, settings) for title, settings in ROOMS.items())])


def _room(title: str, settings: type[BaseSettings]) -> str:
    rows = "".join(_rows(settings))
    return f"## {title}\n\n| variable | default | |\n|---|---|---|\n{rows}"


def _rows(settings: type[BaseSettings]) -> Iterator[str]:
    """Those of the class itself, each with the comment above it."""
    for comment, name in FIELD.findall(inspect.getsource(settings)):
        if name in settings.model_fields:
            words = " ".join(re.sub(r"^ *#:", "", line).strip() for line in comment.splitlines())
            default = _default(settings.model_fields[name])
            yield f"| `CODESTORY_{name.upper()}` | {default} | {words.replace('|', '/')} |\n"


def _default(field: FieldInfo) -> str:
    match field.default:
        case None | "" | () | SecretStr():
            return ""
        case bool(value):
            return f"`{str(value).lower()}`"
        case timedelta() as value:
            return f"`{value.total_seconds():g}`"
        case value:
            return "required" if value is PydanticUndefined else f"`{value}`"


def test_the_settings_reference_says_what_the_settings_say() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")

    assert written == reference(), f"run: .venv/bin/python {Path(__file__).relative_to(DOCUMENT.parents[2])}"


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
