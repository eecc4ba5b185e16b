"""The compose.override.yaml beside compose.yaml: what a person wrote stays, and repositories are added to its mounts.

Read by Docker Compose, which merges it over compose.yaml, and by us, to know which names are taken."""

import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from codestory.containers.errors import OverrideUnusable

NAME = "compose.override.yaml"
#: Compose ignores what begins so. Ours: where each mounted repository lies on the host, by where the containers see it.
MOUNTED = "x-codestory-repositories"
#: For another command that writes it at this moment.
LOCK_SECONDS = 30


def add(file: Path, repository: Path, services: Iterable[str], prefix: PurePosixPath) -> PurePosixPath:
    """Have Compose mount the repository, read-only, into these services. Where they will see it.

    Twice is once. A name that another repository has gets a suffix."""
    try:
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=LOCK_SECONDS):
            document = _read(file)
            mounted = _map(document, MOUNTED, file)
            taken = {str(where): str(path) for where, path in cast("Mapping[str, str]", mounted).items()}
            destination = _free(taken, repository, prefix)
            mounted[str(destination)] = str(repository)
            all_services = _map(document, "services", file)
            for name in services:
                _mount(_map(all_services, name, file), repository, destination, file)
            _write(file, document)
            return destination
    except (OSError, Timeout) as error:
        raise OverrideUnusable(
            f"{file} cannot be written: {error}. Mend that, or mount the repository by hand."
        ) from error


def _free(taken: Mapping[str, str], repository: Path, prefix: PurePosixPath) -> PurePosixPath:
    for where, path in taken.items():
        if path == str(repository) and PurePosixPath(where).is_relative_to(prefix):
            return PurePosixPath(where)
    plain = prefix / repository.name
    digest = hashlib.sha256(os.fsencode(repository)).hexdigest()
    return plain if str(plain) not in taken else prefix / f"{repository.name}-{digest[:8]}"


def _mount(service: CommentedMap, repository: Path, destination: PurePosixPath, file: Path) -> None:
    volumes = cast("object", service.setdefault("volumes", CommentedSeq()))
    if not isinstance(volumes, list):
        raise OverrideUnusable(f"{file}: the volumes of a service are no list. Mend that first.")
    entry = f"{repository}:{destination}:ro"
    if entry not in volumes:
        cast("list[Any]", volumes).append(entry)


def _map(holder: CommentedMap, key: str, file: Path) -> CommentedMap:
    if holder.get(key) is None:
        holder[key] = CommentedMap()
    found = cast("object", holder[key])
    if not isinstance(found, CommentedMap):
        raise OverrideUnusable(f"{file}: {key!r} is no mapping. Mend that first.")
    return found


def _read(file: Path) -> CommentedMap:
    try:
        document = _yaml().load(file.read_text("utf-8")) if file.exists() else None
    except (YAMLError, UnicodeDecodeError) as error:
        raise OverrideUnusable(f"{file} cannot be read as YAML: {error}. Mend that first.") from error
    if document is None:
        return CommentedMap()
    if not isinstance(document, CommentedMap):
        raise OverrideUnusable(f"{file} is no mapping. Mend that first.")
    return document


def _write(file: Path, document: CommentedMap) -> None:
    """Whole or not at all."""
    text = io.StringIO()
    _yaml().dump(document, text)
    with tempfile.NamedTemporaryFile(
        "w", dir=file.parent, prefix=f".{file.name}.", delete=False, encoding="utf-8"
    ) as new:
        try:
            new.write(text.getvalue())
            new.flush()
            os.fsync(new.fileno())
            Path(new.name).chmod(file.stat().st_mode & 0o777 if file.exists() else 0o644)
            Path(new.name).replace(file)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def _yaml() -> YAML:
    yaml = YAML()  # keeps comments, order and quotes
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml
