"""The keys of an OpenID issuer, fetched over HTTP and remembered."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, cast

import httpx
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from codestory import telemetry
from codestory_orchestrator.access.settings import AccessSettings

log = telemetry.logger(__name__)

#: Bytes of a discovery document or a set of keys.
LARGEST: Final = 1024 * 1024


class IssuerAway(Exception):
    """The issuer's keys are not known, and it does not answer."""


class Issuer:
    """What is remembered of it counts for as long as it is away."""

    def __init__(self, settings: AccessSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(timeout=settings.oidc_timeout_seconds, transport=transport)
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fetching = asyncio.Lock()

    async def close(self) -> None:
        await self._http.aclose()

    async def key(self, kid: str, algorithm: str) -> PyJWK | None:
        """The key of this name, if it is for this algorithm. None: there is none. Raises IssuerAway."""
        if kid not in self._keys or self._old:
            await self._refresh(kid)
        if not self._keys:
            raise IssuerAway
        found = self._keys.get(kid)
        if found is None or found.get("alg", algorithm) != algorithm or found.get("use", "sig") != "sig":
            return None
        try:
            return PyJWK(found, algorithm)
        except PyJWTError:  # a key of another kind
            return None

    @property
    def _old(self) -> bool:
        return self._fetched is None or time.monotonic() - self._fetched > self._settings.oidc_refresh_seconds

    @property
    def _tried_just_now(self) -> bool:
        return self._tried is not None and time.monotonic() - self._tried < self._settings.oidc_retry_seconds

    async def _refresh(self, kid: str) -> None:
        """One at a time; names of keys that somebody invents do not make us ask more often."""
        async with self._fetching:
            if self._tried_just_now or (kid in self._keys and not self._old):
                return
            try:
                keys = await self._fetch()
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                log.warning("access.issuer_away", issuer=self._settings.oidc_issuer, error=repr(error)[:500])
            else:
                self._keys, self._fetched = keys, time.monotonic()
                log.info("access.issuer_keys", issuer=self._settings.oidc_issuer, keys=len(keys))
            finally:
                self._tried = time.monotonic()

    async def _fetch(self) -> dict[str, dict[str, Any]]:
        url = self._settings.oidc_jwks_url or await self._discovered()
        listed = (await self._get(url)).get("keys")
        keys = cast("list[object]", listed) if isinstance(listed, list) else []
        named = {key["kid"]: key for key in map(_object, keys) if isinstance(key.get("kid"), str)}
        if not named:
            raise ValueError(f"{url} names no key")
        return named

    async def _discovered(self) -> str:
        issuer = self._settings.oidc_issuer
        found = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        url = found.get("jwks_uri")
        if found.get("issuer") != issuer:
            raise ValueError(f"the discovery document is of another issuer: {found.get('issuer')!r}")
        if not isinstance(url, str):
            raise ValueError("the discovery document does not say where the keys are")  # noqa: TRY004  # of its content
        return AccessSettings.over_tls(url)

    async def _get(self, url: str) -> dict[str, Any]:
        content = bytearray()
        async with self._http.stream("GET", url, headers={"Accept": "application/json"}) as response:
            if not response.is_success:
                raise ValueError(f"{url} answers {response.status_code}")
            async for part in response.aiter_bytes():
                content += part
                if len(content) > LARGEST:
                    raise ValueError(f"{url} answers with more than {LARGEST} bytes")
        return _object(httpx.Response(200, content=bytes(content)).json())


def _object(value: object) -> dict[str, Any]:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, dict) else {}
