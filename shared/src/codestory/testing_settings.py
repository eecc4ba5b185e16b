"""Every class of settings there is, and a secret in each setting that can hold one: for tests that look for it."""

import importlib
import json
import pkgutil
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

#: Modules with settings beside those that are called so.
ALSO = frozenset({"codestory.files.confined", "codestory.client._access", "codestory.steps.operations"})


@dataclass(frozen=True)
class Held:
    """A setting with a secret in it."""

    variable: str
    #: As the class takes it, and as the environment says it.
    value: Any
    text: str
    secret: str


def classes(packages: Iterable[ModuleType]) -> list[type[BaseSettings]]:
    """All in these packages, by name."""
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("settings") or module.name in ALSO:
                importlib.import_module(module.name)
    return sorted(set(_below(BaseSettings)), key=lambda kind: kind.__qualname__)


def _below(kind: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("codestory"):
            yield each
        yield from _below(each)


def holding(kind: type[BaseSettings], folder: Path) -> dict[str, Held]:
    """By the setting's name. Found by what the setting is, so that a new one is among them."""
    found: dict[str, Held] = {}
    for name, field in kind.model_fields.items():
        secret = f"canary-sings-7f3a-in-{name}"
        if value := _value(name, field, secret, folder):
            variable = f"{kind.model_config.get('env_prefix', '')}{name}".upper()
            found[name] = Held(variable, *value, secret)
    return found


def _value(name: str, field: FieldInfo, secret: str, folder: Path) -> tuple[Any, str] | None:
    """None: it can hold none."""
    kinds = {field.annotation, *typing.get_args(field.annotation)}
    if SecretStr in kinds:
        return SecretStr(secret), secret
    if name == "git_credentials":
        said = {"host": "git.example", "file": str(_file(folder / name, f"user:{secret}"))}
        return {"forge": typing.get_args(field.annotation)[1](**said)}, json.dumps({"forge": said})
    if Path in kinds and name.endswith("_file"):
        path = _file(folder / name, f"{secret}\n")
        return path, str(path)
    if str in kinds and ("://" in str(field.default) or name.endswith(("_url", "_uri", "_issuer", "_endpoint", "url"))):
        address = f"https://user:{secret}@127.0.0.1:9/v1?key={secret}"
        return address, address
    return None


def _file(path: Path, content: str) -> Path:
    path.write_text(content)
    return path
