"""What a process may tell of itself to whoever helps: its settings without secrets, and the versions of its parts."""

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, JsonValue, SecretStr, ValidationError
from pydantic_settings import BaseSettings

from codestory.contracts.services import ServiceFacts
from codestory.redaction import Cleaner, known
from codestory.redaction.known import NOT_SET, SET

#: Of a setting's text.
MOST_CHARS = 1000
#: Of all that one service says of itself: it lies in a bucket of the bus.
MOST_BYTES = 48 * 1024
#: A file that is larger holds no secret of ours.
SECRET_FILE_BYTES = 64 * 1024
#: A line of a key in PEM.
KEY_LINE_CHARS = 40
OURS = "CODESTORY_"
#: Variables of the exporter of spans that say something about it, and hold no secret. Of the others the name is told.
OTEL_SHOWN = (
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
)
#: What an address is asked with.
_QUESTION = re.compile(r"[?#]")
#: Of what looks like a secret; the known ones are not told at all.
_CLEANER = Cleaner()

Settings = type[BaseSettings] | BaseSettings


def facts(*settings: Settings, versions: Mapping[str, str] | None = None) -> ServiceFacts:
    """`settings`: all that the process reads; a class is read anew. `versions`: of programs that it runs."""
    shown, fields = dict[str, JsonValue](), set[str]()
    for each in settings:
        kind = each if isinstance(each, type) else type(each)
        fields |= {_variable(kind, name) for name in kind.model_fields}
        shown |= _shown(each)
    shown |= _exporter()
    machine = os.uname()
    unknown = tuple(sorted(name for name in os.environ if name.startswith(OURS) and name.upper() not in fields))
    said = ServiceFacts(
        version=importlib.metadata.version("codestory"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{machine.sysname} {machine.release} {machine.machine}, {os.cpu_count()} CPUs",
        versions={**installed(), **(versions or {})},
        settings=shown,
        unknown=unknown,
    )
    return _bounded(said)


def secrets(*settings: Settings) -> frozenset[str]:
    """The secrets that these settings hold or lead to, to be looked for in what is told."""
    found = set[str]()
    for each in settings:
        with_values = _read(each)
        if isinstance(with_values, BaseSettings):
            for name in type(with_values).model_fields:
                found |= set(_secrets_in(getattr(with_values, name), name))
    return frozenset(secret for secret in found.union(_exporters()) if secret)


def secrets_around() -> frozenset[str]:
    """The secrets of ours that the environment holds or leads to, by the names of its variables."""
    found = set[str]()
    for variable, value in os.environ.items():
        name = variable.lower().removesuffix("_file")
        if variable.startswith(OURS) and (known.secret_name(name) or name.endswith("_seed")):
            found |= set(_in_file(Path(value))) if variable.endswith("_FILE") else {value}
    return frozenset(secret for secret in found.union(_exporters()) if secret)


def installed(places: Iterable[str | Path] | None = None) -> dict[str, str]:
    """The packages there, by the names of their folders: to ask each of them would take much longer."""
    found: dict[str, str] = {}
    for place in sys.path if places is None else places:
        for folder in sorted(Path(place).glob("*.dist-info")):
            name, _, version = folder.name.removesuffix(".dist-info").partition("-")
            found.setdefault(name.lower().replace("_", "-"), version)
    return found


def _bounded(said: ServiceFacts) -> ServiceFacts:
    """The settings first: what is made of what can be asked of the image too."""
    if len(said.model_dump_json()) <= MOST_BYTES:
        return said
    said = said.model_copy(update={"versions": dict[str, str](), "cut": True})
    if len(said.model_dump_json()) <= MOST_BYTES:
        return said
    short = {
        name: value if len(json.dumps(value)) < 200 else "[left out: too long]" for name, value in said.settings.items()
    }
    return said.model_copy(update={"settings": dict(list(short.items())[:200]), "unknown": said.unknown[:20]})


# one setting


def _shown(settings: Settings) -> dict[str, JsonValue]:
    kind = settings if isinstance(settings, type) else type(settings)
    read = _read(settings)
    if isinstance(read, str):
        return {f"{kind.__name__}": f"cannot be read: {read}"}
    return {_variable(kind, name): _value(getattr(read, name), name) for name in kind.model_fields}


def _read(settings: Settings) -> BaseSettings | str:
    """Or why they cannot be; without what was wrong, which may be a secret."""
    if not isinstance(settings, type):
        return settings
    try:
        return settings()
    except ValidationError as error:
        return "; ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False)) or "together"


def _variable(kind: type[BaseSettings], name: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def _value(value: Any, name: str) -> JsonValue:
    match value:
        case SecretStr():
            return SET if value.get_secret_value() else NOT_SET
        case str():
            return (SET if value else NOT_SET) if known.secret_name(name) else _text(value)
        case BaseModel():
            return {field: _value(getattr(value, field), field) for field in type(value).model_fields}
        case dict():
            items = cast("dict[object, object]", value)
            return {_text(str(key)): _value(each, str(key)) for key, each in items.items()}
        case list() | tuple() | set() | frozenset():
            return [_value(each, name) for each in cast("Iterable[object]", value)]
        case None | bool() | int() | float():
            return value
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """Of an address: where it is, and not with what."""
    text = _CLEANER.text(_address(text) if "://" in text else text)
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]}…"


def _address(text: str) -> str:
    bare = known.without_userinfo(text)
    return f"{bare[: found.start()]}?[left out]" if (found := _QUESTION.search(bare)) else bare


def _exporter() -> dict[str, JsonValue]:
    """OpenTelemetry's own variables."""
    found: dict[str, JsonValue] = {}
    for name, value in sorted(os.environ.items()):
        if name.startswith("OTEL_") and value:
            shown = name in OTEL_SHOWN or name.endswith("_ENDPOINT")
            found[name] = _text(value) if shown else SET
    return found


# secrets


def _secrets_in(value: Any, name: str) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case Path() if name == "file" or name.endswith("_file"):
            yield from _in_file(value)
        case str() if known.secret_name(name):
            yield value
        case str() if "://" in value:
            yield from _in_address(value)
        case BaseModel():
            for field in type(value).model_fields:
                yield from _secrets_in(getattr(value, field), field)
        case dict():
            for key, each in cast("dict[object, object]", value).items():
                yield from _secrets_in(each, str(key))
        case list() | tuple():
            for each in cast("Iterable[object]", value):
                yield from _secrets_in(each, name)
        case _:
            return


def _exporters() -> Iterator[str]:
    """Of the exporter of spans: who it is to the collector."""
    for name, value in os.environ.items():
        if not name.startswith("OTEL_") or not name.endswith(("_HEADERS", "_HEADERS_FILE")):
            continue
        texts = _in_file(Path(value)) if name.endswith("_FILE") else (value,)
        for pair in (pair for text in texts for pair in text.split(",")):
            said = pair.partition("=")[2]
            yield from (said, unquote(said), unquote(said).rpartition(" ")[2])


def _in_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    yield parts.netloc.rpartition("@")[0].partition(":")[2]
    for pair in parts.query.split("&"):
        yield pair.partition("=")[2]


def _in_file(path: Path) -> Iterator[str]:
    """All of it; the part behind a user; the lines of a key. A certificate's lines are none, and do no harm."""
    try:
        if path.stat().st_size > SECRET_FILE_BYTES:
            return
        content = path.read_text("utf-8", errors="surrogateescape").strip()
    except OSError:
        return
    lines = content.splitlines()
    if len(lines) == 1:
        yield content
        yield content.partition(":")[2]
    yield from (line for line in lines[1:] if len(line) >= KEY_LINE_CHARS and not any(map(str.isspace, line)))
