"""Bearer tokens of an OpenID issuer, as Entra ID gives them: who asks, and what the issuer says that they may."""

from datetime import UTC, datetime
from typing import Any, Final, cast

import httpx
import jwt
from jwt.exceptions import ExpiredSignatureError, ImmatureSignatureError, InvalidAudienceError, InvalidIssuerError
from jwt.exceptions import PyJWTError as TokenError

from codestory.contracts.access import Principal, Role
from codestory_orchestrator.access.grants import Grant
from codestory_orchestrator.access.issuer import Issuer, IssuerAway
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.errors import RoleMissing, ServiceUnavailable, Unauthenticated

#: Characters of a token; Entra's with many groups have some 4,000.
LARGEST: Final = 16 * 1024
#: Of a claim that becomes an owner or a name.
LONGEST: Final = 300

_REASONS: Final[dict[type[Exception], str]] = {
    ExpiredSignatureError: "it has expired",
    ImmatureSignatureError: "it is not valid yet",
    InvalidAudienceError: "it is for another service (`aud`)",
    InvalidIssuerError: "it is of another issuer (`iss`)",
}


class Tokens:
    def __init__(self, settings: AccessSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._issuer = Issuer(settings, transport)

    async def close(self) -> None:
        await self._issuer.close()

    async def grant(self, text: str) -> Grant:
        """Raises Unauthenticated, RoleMissing, or ServiceUnavailable while the issuer's keys cannot be had."""
        claims = await self._claims(text)
        owner = self._owner(claims)
        ends = _moment(claims["exp"], self._settings.oidc_leeway_seconds)
        return Grant(principal=Principal(owner=owner, role=self._role(claims), name=_name(claims)), expires_at=ends)

    async def _claims(self, text: str) -> dict[str, Any]:
        if len(text) > LARGEST:
            raise _refused("it is too long")
        try:
            header = jwt.get_unverified_header(text)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in self._settings.oidc_algorithms:
                raise _refused("it is signed by another algorithm than CODESTORY_OIDC_ALGORITHMS names")
            if not isinstance(kid, str):
                raise _refused("it does not say which key has signed it (`kid`)")
            key = await self._issuer.key(kid, algorithm)
            if key is None:
                raise _refused("the issuer has no such key")
            return jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=self._settings.oidc_leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except IssuerAway as error:
            raise ServiceUnavailable(
                "The issuer of the tokens does not answer, so that none can be checked. Try again soon."
            ) from error
        except TokenError as error:
            raise _refused(_REASONS.get(type(error), "it is none, or its signature is wrong")) from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _refused("it cannot be read") from error

    def _owner(self, claims: dict[str, Any]) -> str:
        """Not a name that its bearer could change."""
        for claim in (self._settings.oidc_owner_claim, "sub"):
            value = claims.get(claim)
            if isinstance(value, str) and 0 < len(value) <= LONGEST:
                return value
        raise _refused(f"it bears neither `{self._settings.oidc_owner_claim}` nor `sub`")

    def _role(self, claims: dict[str, Any]) -> Role:
        """The highest of those it bears."""
        names = self._settings.oidc_roles or {role.value: role for role in Role}
        values = _listed(claims.get(self._settings.oidc_roles_claim))
        found = {names[value] for value in values if isinstance(value, str) and value in names}
        if not found:
            raise RoleMissing(
                f"The token names no role that counts here: its claim `{self._settings.oidc_roles_claim}` has to hold "
                f"one of {', '.join(names)}. Whoever runs the directory assigns them."
            )
        return max(found, key=list(Role).index)


def _moment(seconds: float, later: float) -> datetime:
    try:
        return datetime.fromtimestamp(float(seconds) + later, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _refused("its end is none (`exp`)") from error


def _listed(stated: object) -> list[object]:
    """A list, or the words of a text: issuers do either."""
    if isinstance(stated, str):
        return [*stated.split()]
    return cast("list[object]", stated) if isinstance(stated, list) else []


def _name(claims: dict[str, Any]) -> str:
    return f"token {claims.get('sub', '')}"[:LONGEST]


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"This token is not taken: {why}.")
