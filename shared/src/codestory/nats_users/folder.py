"""A folder of keys and the configuration that is made from them. What is there stays; what is missing is made."""

import os
import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nkeys
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from codestory.contracts.values import StepName
from codestory.nats_users import NatsUsersError, permissions
from codestory.nats_users.config import SYSTEM, namespace_of, render

CONFIG: Final = "nats-auth.conf"
SEED: Final = ".nk"
OWNER_ONLY, OWNER_ONLY_FOLDER, EVERYBODY_READS = 0o600, 0o700, 0o644
#: Another program holds the folder for the time of some small writes.
LOCK_SECONDS: Final = 10.0
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_step_name: Final = TypeAdapter[str](StepName)


@dataclass(frozen=True)
class Written:
    config: Path
    namespace: str
    #: The file of the secret key of each user, the server's own included.
    seeds: dict[str, Path]
    #: Users that are new.
    made: tuple[str, ...]


def write(folder: Path, steps: Collection[str], namespace: str | None = None) -> Written:
    """See that each of these steps, and whatever else uses the bus, has a key, and write the configuration of all that
    have one. Done twice it is done once. `namespace`: otherwise as it is written there already."""
    for step in steps:
        _require_step(step)
    try:
        folder.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS, mode=OWNER_ONLY):
            return _write(folder, steps, namespace)
    except Timeout as error:
        raise NatsUsersError(f"{folder} is being changed by another program: try again") from error
    except OSError as error:
        where = error.filename or folder
        raise NatsUsersError(f"{where} cannot be written: {error.strerror}") from error


def _write(folder: Path, steps: Collection[str], namespace: str | None) -> Written:
    config = folder / CONFIG
    namespace = _namespace(config, namespace)
    there = {user.removeprefix("step-") for user in _users(folder) if user.startswith("step-")}
    for step in there:
        _require_step(step)
    allowed = permissions.users(namespace, sorted({*there, *steps}))
    keys: dict[str, str] = {}
    made: list[str] = []
    for user in (*allowed, SYSTEM):
        if _make(_seed_of(folder, user)):
            made.append(user)
        keys[user] = _public_key(_seed_of(folder, user))
    _replace(config, render(namespace, allowed, keys), EVERYBODY_READS)
    return Written(config, namespace, {user: _seed_of(folder, user) for user in keys}, tuple(made))


def _namespace(config: Path, wished: str | None) -> str:
    there = namespace_of(config.read_text(encoding="utf-8", errors="replace")) if config.exists() else ""
    if config.exists() and not there:
        raise NatsUsersError(f"{config} was not written by this program: move it away, or choose another folder")
    if there and wished and wished != there:
        raise NatsUsersError(f"{config} is of the namespace {there!r}, not {wished!r}: choose another folder")
    namespace = there or wished or "codestory"
    if not _NAMESPACE.fullmatch(namespace):
        raise NatsUsersError(f"{namespace!r} cannot be a namespace: letters, digits, _ and - only, at most 64")
    return namespace


def _require_step(step: str) -> None:
    try:
        _step_name.validate_python(step)
    except ValidationError as error:
        raise NatsUsersError(
            f"{step!r} cannot be the name of a step: small letters, digits and _, at most 64, not 'job'"
        ) from error


def _seed_of(folder: Path, user: str) -> Path:
    return folder / f"{user}{SEED}"


def _users(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(SEED) for path in folder.glob(f"*{SEED}"))


def _make(path: Path) -> bool:
    """A new key, unless there is one."""
    if path.exists():
        path.chmod(OWNER_ONLY)
        return False
    seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    _replace(path, seed.decode() + "\n", OWNER_ONLY)
    return True


def _public_key(path: Path) -> str:
    try:
        seed = bytearray(path.read_bytes().strip())
        if nkeys.decode_seed(bytes(seed))[0] != nkeys.PREFIX_BYTE_USER:
            raise NatsUsersError(f"{path} holds a key that is not a user's: move it away, and a new one is made")
        public: bytes = nkeys.from_seed(seed).public_key  # pyright: ignore[reportAssignmentType]  # its stub is wrong
        return public.decode()
    except (nkeys.NkeysError, ValueError) as error:
        raise NatsUsersError(
            f"{path} holds no key: bring back the right one, or move it away, and a new one is made"
        ) from error


def _replace(path: Path, text: str, mode: int) -> None:
    """Whole or not there; and on the disk before anybody relies on it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
