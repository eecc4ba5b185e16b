"""Keys as values. Of a secret only its hash is kept: 256 random bits need no slow one."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator

from codestory.contracts.access import Principal, Role
from codestory.contracts.values import Value

#: Every key begins with it, so that scanners for secrets can tell one.
SCHEME: Final = "csk"
SHOWN: Final = re.compile(rf"{SCHEME}_([a-z0-9]{{4,32}})_([A-Za-z0-9_-]{{43}})")
#: Bytes of a file of keys.
LARGEST_FILE: Final = 16 * 1024 * 1024

KeyId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{4,32}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Owner = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]


class KeyFileError(Exception):
    """A file of API keys cannot be used."""


class ApiKey(Value):
    id: KeyId
    #: Whose jobs it makes and sees. Several keys may share one.
    owner: Owner
    role: Role
    hash: Hash
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    note: Annotated[str, Field(max_length=300)] = ""
    #: The secret before the last rotation, and how long it is still taken.
    previous_hash: Hash | None = None
    previous_until: AwareDatetime | None = None

    @property
    def principal(self) -> Principal:
        return Principal(owner=self.owner, role=self.role, name=f"key {self.id}")

    def lives(self, at: datetime) -> bool:
        return self.expires_at is None or at < self.expires_at

    def taken_until(self, hashed: str, at: datetime) -> datetime | Literal[False] | None:
        """Until when a secret of this hash is taken: None for ever, False not any more. In constant time."""
        own = hmac.compare_digest(hashed, self.hash)
        before = hmac.compare_digest(hashed, self.previous_hash or self.hash) and self.previous_hash is not None
        if own and self.lives(at):
            return self.expires_at
        if before and self.lives(at) and self.previous_until and at < self.previous_until:
            return min(filter(None, (self.previous_until, self.expires_at)))
        return False


class KeyRing(Value):
    """What a file of keys holds."""

    version: Literal[1] = 1
    keys: Annotated[tuple[ApiKey, ...], Field(max_length=100_000)] = ()

    @model_validator(mode="after")
    def _each_once(self) -> "KeyRing":
        ids = [key.id for key in self.keys]
        if len(set(ids)) < len(ids):
            twice = next(one for one in ids if ids.count(one) > 1)
            raise ValueError(f"the id {twice} is there twice")
        return self

    def find(self, key_id: str) -> ApiKey | None:
        return next((key for key in self.keys if key.id == key_id), None)


@dataclass(frozen=True)
class Shown:
    """A key as whoever sends it has it."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{SCHEME}_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Shown({self.id!r})"


def opened(text: str) -> Shown | None:
    """The parts of a key; None: it is none."""
    found = SHOWN.fullmatch(text)
    return Shown(found[1], found[2]) if found else None


def digest(shown: Shown) -> str:
    return hashlib.sha256(f"{SCHEME}:{shown.id}:{shown.secret}".encode()).hexdigest()


def made(
    *, owner: str, role: Role, at: datetime, expires_at: datetime | None = None, note: str = ""
) -> tuple[ApiKey, Shown]:
    """A new key. What is shown is kept nowhere."""
    shown = _fresh(secrets.token_hex(6))
    return ApiKey(
        id=shown.id,
        owner=owner,
        role=role,
        hash=digest(shown),
        created_at=at,
        expires_at=expires_at,
        note=note,
    ), shown


def rotated(
    ring: KeyRing, key_id: str, *, at: datetime, grace: timedelta, expires_at: datetime | None = None
) -> tuple[KeyRing, Shown]:
    """A new secret for a key; the old one is taken for as long as `grace`. `expires_at` None: as before.

    Raises KeyFileError."""
    key = _known(ring, key_id)
    shown = _fresh(key.id)
    kept = {"previous_hash": key.hash, "previous_until": at + grace} if grace else {}
    ends = {"expires_at": expires_at} if expires_at else {}
    changes = {"hash": digest(shown), "previous_hash": None, "previous_until": None} | kept | ends
    renewed = key.model_copy(update=changes)
    return ring.model_copy(update={"keys": tuple(renewed if one == key else one for one in ring.keys)}), shown


def without(ring: KeyRing, key_id: str) -> KeyRing:
    """Raises KeyFileError."""
    key = _known(ring, key_id)
    return ring.model_copy(update={"keys": tuple(one for one in ring.keys if one != key)})


def read(path: Path) -> KeyRing:
    """Raises KeyFileError."""
    try:
        with path.open("rb") as file:
            return parsed(file.read(LARGEST_FILE + 1), path)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error


def parsed(data: bytes, path: Path) -> KeyRing:
    """Raises KeyFileError, which repeats nothing of the file."""
    if len(data) > LARGEST_FILE:
        raise KeyFileError(f"{path} is larger than {LARGEST_FILE} bytes")
    try:
        return KeyRing.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        raise KeyFileError(f"{path} is no file of API keys: {place}: {first['msg']}") from error


def _fresh(key_id: str) -> Shown:
    return Shown(key_id, secrets.token_urlsafe(32))


def _known(ring: KeyRing, key_id: str) -> ApiKey:
    key = ring.find(key_id)
    if key is None:
        raise KeyFileError(f"There is no key {key_id!r}. See: codestory auth keys list")
    return key
