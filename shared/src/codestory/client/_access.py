"""Who we say that we are: an API key, or a token that somebody else gives us."""

import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Final

import httpx
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.client._errors import BadCredentials

#: A token, or what gives one that is good now: it is asked before each request and keeps it as long as it likes.
Token = str | Callable[[], str]
AsyncToken = str | Callable[[], str | Awaitable[str]]

_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")


class ClientSettings(BaseSettings):
    """Prefix CODESTORY_. Where the program itself names neither key nor token."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True, extra="ignore")

    #: Sent to whichever service is asked.
    api_key: SecretStr = SecretStr("")
    #: A file that holds nothing else; it wins.
    api_key_file: Path | None = None


class Credentials(httpx.Auth):
    """Puts a header on each request. Knows no other way to show who we are."""

    def __init__(self, token: AsyncToken) -> None:
        self._token = token

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers.update(self.headers())
        yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers.update(await self.headers_async())
        yield request

    def headers(self) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        if inspect.isawaitable(token):
            raise BadCredentials("`token` has to give a string here; AsyncClient also takes what has to be awaited.")
        return _header(token)

    async def headers_async(self) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        return _header(await token if inspect.isawaitable(token) else token)


def credentials(api_key: str | None, token: AsyncToken | None) -> Credentials | None:
    """Those given, else those of the environment, else none. An empty key: none, whatever the environment says."""
    if api_key is not None and token is not None:
        raise BadCredentials("There are both an `api_key` and a `token`: give one of them.")
    if token is not None:
        return Credentials(token)
    if api_key is None:
        api_key = _of_environment()
    if not api_key:
        return None
    _header(api_key)  # said now, not at the first request
    return Credentials(api_key)


def _of_environment() -> str:
    settings = ClientSettings()
    if settings.api_key_file is None:
        return settings.api_key.get_secret_value().strip()
    try:
        return settings.api_key_file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise BadCredentials(f"CODESTORY_API_KEY_FILE={settings.api_key_file} cannot be read: {error}") from error


def _header(token: str) -> dict[str, str]:
    if not _SENDABLE.fullmatch(token):
        raise BadCredentials("The key or token has characters in it that none has: spaces, line ends or accents.")
    return {"Authorization": f"Bearer {token}"}
