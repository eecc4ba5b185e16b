"""The compose.override.yaml beside compose.yaml: what a person wrote stays, and repositories are added to its mounts.

Read by Docker Compose, which merges it over compose.yaml, and by us, to know which names are taken."""

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, cast

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.util import load_yaml_guess_indent  # pyright: ignore[reportUnknownVariableType] - it has no types

from codestory.containers.compose import OVERRIDES
from codestory.containers.errors import OverrideUnusable

NAME = "compose.override.yaml"
#: Compose ignores what begins so. Ours: where each mounted repository lies on the host, by where the containers see it.
MOUNTED = "x-codestory-repositories"
#: For another command that writes it at this moment.
LOCK_SECONDS = 30.0


def beside(folder: Path) -> Path:
    """The override that Compose reads in this folder: a person's, or the one that is to be written."""
    return next((folder / name for name in OVERRIDES if (folder / name).exists()), folder / NAME)


def add(
    file: Path,
    repository: Path,
    services: Iterable[str],
    prefix: PurePosixPath,
    *,
    free: Callable[[PurePosixPath], bool] = lambda _: True,
    seconds: float = LOCK_SECONDS,
) -> PurePosixPath:
    """Have Compose mount the repository, read-only, into these services. Where they will see it.

    Twice is once. A name that another repository has gets a suffix; so does one that is not `free` otherwise. The
    mounts of repositories that are not there any more are taken out: Docker would make empty folders in their place."""
    with _changing(file, seconds) as document:
        mounted = _map(document, MOUNTED, file)
        all_services = _map(document, "services", file)
        _drop(mounted, all_services, lambda path: path != str(repository) and not Path(path).exists())
        destination = _free(_taken(mounted), repository, prefix, free)
        mounted[str(destination)] = str(repository)
        for name in services:
            _mount(_map(all_services, name, file), repository, destination, file)
        return destination


def remove(file: Path, repository: Path, *, seconds: float = LOCK_SECONDS) -> None:
    """Take out what `add` wrote: with a mount that Docker refuses no container of the project comes up again."""
    with _changing(file, seconds) as document:
        _drop(_map(document, MOUNTED, file), _map(document, "services", file), lambda path: path == str(repository))


@contextmanager
def _changing(file: Path, seconds: float) -> Generator[CommentedMap]:
    """Read, and written when all went well. One command at a time."""
    try:
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=seconds):
            document = _read(file)
            yield document
            _write(file, document)
    except Timeout as error:
        raise OverrideUnusable(
            f"{file} is being written by another command, for longer than {seconds:g} s. End that, and say it again."
        ) from error
    except OSError as error:
        raise OverrideUnusable(
            f"{file} cannot be written: {error}. Become who may, or send the files: codestory ingest start PATH "
            "--upload."
        ) from error


def mounted_by_us(file: Path) -> dict[str, str]:
    """Where each repository that was added lies on this host, by where the containers see it."""
    return _taken(cast("object", _read(file).get(MOUNTED) or {}))


def _taken(mounted: object) -> dict[str, str]:
    return {str(where): str(path) for where, path in cast("Mapping[str, str]", mounted).items()}


def _drop(mounted: CommentedMap, services: CommentedMap, which: Callable[[str], bool]) -> None:
    for where, path in _taken(mounted).items():
        if not which(path):
            continue
        del mounted[where]
        for service in cast("Iterable[object]", services.values()):
            volumes = cast("object", service.get("volumes")) if isinstance(service, CommentedMap) else None
            if isinstance(volumes, list) and (entry := _entry(path, where)) in volumes:
                cast("list[Any]", volumes).remove(entry)


def _free(
    taken: Mapping[str, str], repository: Path, prefix: PurePosixPath, free: Callable[[PurePosixPath], bool]
) -> PurePosixPath:
    for where, path in taken.items():
        if path == str(repository) and PurePosixPath(where).is_relative_to(prefix):
            return PurePosixPath(where)
    plain = prefix / repository.name
    digest = hashlib.sha256(os.fsencode(repository)).hexdigest()
    return plain if str(plain) not in taken and free(plain) else prefix / f"{repository.name}-{digest[:8]}"


def _entry(source: Path | str, destination: PurePosixPath | str) -> str:
    return f"{source}:{destination}:ro"


def _mount(service: CommentedMap, repository: Path, destination: PurePosixPath, file: Path) -> None:
    volumes = cast("object", service.setdefault("volumes", CommentedSeq()))
    if not isinstance(volumes, list):
        raise OverrideUnusable(f"{file}: the volumes of a service are no list. Mend that first.")
    entry = _entry(repository, destination)
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
    yaml = _yaml()
    yaml.indent(**_indents(file.read_text("utf-8") if file.exists() else ""))
    yaml.dump(document, text)
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


def _indents(text: str) -> dict[str, int]:
    """As a person indented the file."""
    _, sequence, offset = cast("tuple[object, int | None, int | None]", load_yaml_guess_indent(text))
    mapping = re.search(r"^( +)[^ #-]", text, re.MULTILINE)
    return {
        "mapping": len(mapping[1]) if mapping else 2,
        "sequence": sequence or 2,
        "offset": offset or 0,
    }
