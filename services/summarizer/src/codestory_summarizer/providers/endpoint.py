"""Where calls go and with what credentials: an address that was checked, a model, a way to say who asks."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from codestory.step_errors import StepError

LimitName = Literal["max_completion_tokens", "max_tokens"]


class Credentials(Protocol):
    """`advice` tells whoever reads of a refusal what to look at."""

    advice: str

    async def headers(self) -> Mapping[str, str]: ...

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Whether others than these may be tried, which were refused."""
        ...

    def hides(self) -> tuple[str, ...]:
        """What must not be seen in any message."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model's address. `limit`: how it calls the most that an answer may take, as far as one knows beforehand."""

    provider: str
    model: str
    url: str
    destination: str
    credentials: Credentials
    limit: LimitName
    #: The settings to look at where address or model are wrong.
    advice: str


class Key:
    """A fixed header; none where there is no key."""

    def __init__(self, header: str, scheme: str, key: str, advice: str) -> None:
        self._header, self._key = header, SecretStr(key)
        self._scheme = f"{scheme} " if scheme else ""
        self.advice = advice

    async def headers(self) -> Mapping[str, str]:
        key = self._key.get_secret_value()
        return {self._header: f"{self._scheme}{key}"} if key else {}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        del refused
        return False

    def hides(self) -> tuple[str, ...]:
        key = self._key.get_secret_value()
        return (key,) if key else ()

    async def close(self) -> None:
        return


def secret(name: str, value: SecretStr, file: Path | None) -> str:
    """A secret of the settings, from its file if one is named; empty if there is none."""
    text = value.get_secret_value()
    if file is not None:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            raise StepError(f"{variable(name)}_FILE cannot be read: {type(error).__name__}") from error
        if not text.strip():
            raise StepError(f"{variable(name)}_FILE names a file that is empty.")
    text = text.strip()
    if not (text.isascii() and text.isprintable()):
        raise StepError(f"{variable(name)} holds what no key can hold: a line end, a control character or no ASCII.")
    return text


def variable(name: str) -> str:
    """A setting, as a user writes it."""
    return f"CODESTORY_{name.upper()}"


def address(name: str, text: str, *, allow_http: bool) -> SplitResult:
    """A setting's address, without a slash at its end. Never one that would show code or a key to the network."""
    try:
        parts = urlsplit(text.strip().rstrip("/"))
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise StepError(f"{variable(name)} is no address: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise StepError(f"{variable(name)} must be an address that begins with https:// and names a host.")
    if parts.username is not None or parts.query or parts.fragment:
        raise StepError(f"{variable(name)} must hold the address alone: no user, no password, nothing behind a ? or #.")
    if parts.scheme == "http" and not (allow_http or is_loopback(host)):
        raise StepError(
            f"{variable(name)} begins with http://, so code would cross the network unencrypted. Use https://, or set "
            f"{variable('llm_allow_http')}=true if that network is your own."
        )
    return parts


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def place(parts: SplitResult) -> str:
    """The host, as people are told it."""
    return f"{parts.netloc} (this machine)" if is_loopback(parts.hostname or "") else parts.netloc
