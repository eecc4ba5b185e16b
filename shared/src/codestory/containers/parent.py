"""One folder of this host whose repositories the containers all see, chosen when they are brought up.

Compose reads REPOSITORY_SOURCE in .env beside compose.yaml; what is below it needs no mount of its own."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from dotenv import set_key

from codestory.containers import refusals
from codestory.containers.compose import FILES, Compose
from codestory.containers.errors import OverrideUnusable
from codestory.containers.settings import ContainersSettings

VARIABLE = "REPOSITORY_SOURCE"
#: What needs no quotes there.
PLAIN = re.compile(r"[\w/.@+-]+", re.ASCII)


def bring_up(file: Path, parent: Path, settings: ContainersSettings, say: Callable[[str], None]) -> str:
    """Write it where Compose reads it and have the services run with it. Where the service answers then."""
    parent = refusals.refuse(parent)
    file = _compose_file(file)
    variables = file.parent / ".env"
    given = os.environ.get(VARIABLE)
    if given and Path(os.path.realpath(file.parent / given)) != parent:
        raise OverrideUnusable(
            f"{VARIABLE}={given} is set in this shell, and goes before what is written into {variables}: unset it."
        )
    try:
        set_key(variables, VARIABLE, str(parent), quote_mode="never" if PLAIN.fullmatch(str(parent)) else "always")
    except (OSError, UnicodeDecodeError) as error:
        raise OverrideUnusable(f"{variables} cannot be written: {error}. Become who may.") from error
    compose = Compose(file.parent, () if file.name in FILES else (file,))
    configured = compose.configuration(settings.compose_seconds)
    _secrets_are_there(configured)
    say(f"{variables}: {VARIABLE}={parent}")
    compose.up_all(settings.compose_up_seconds, say)
    return _address(configured)


def _compose_file(file: Path) -> Path:
    found = [file] if file.is_file() else [file / name for name in FILES if (file / name).is_file()]
    if not found:
        raise OverrideUnusable(
            f"There is no compose.yaml in {file}: go to the folder that has Code Story's, or name it: --compose-file"
        )
    file = Path(os.path.realpath(found[0]))
    if VARIABLE not in file.read_text("utf-8", "replace"):
        raise OverrideUnusable(f"{file} is not Code Story's: it mounts no {VARIABLE}.")
    return file


def _secrets_are_there(configured: dict[str, Any]) -> None:
    """Docker would make folders in their place."""
    secrets = cast("dict[str, dict[str, Any]]", configured.get("secrets") or {})
    missing = [
        str(secret["file"]) for secret in secrets.values() if "file" in secret and not Path(secret["file"]).is_file()
    ]
    if missing:
        raise OverrideUnusable(f"{', '.join(missing)} is not there yet. Make the secrets first: make compose-up")


def _address(configured: dict[str, Any]) -> str:
    services = cast("dict[str, dict[str, Any]]", configured.get("services") or {})
    ports = cast("list[dict[str, Any]]", services.get("orchestrator", {}).get("ports") or [])
    return next((f"http://127.0.0.1:{port['published']}" for port in ports if port.get("published")), "")
