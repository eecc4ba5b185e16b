"""Bearer tokens of an issuer: a real one on loopback, that signs with real keys."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.utils import base64url_decode, base64url_encode
from pydantic import ValidationError

from codestory.contracts.access import Role
from codestory_orchestrator.access.grants import Grant
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.access.tokens import Tokens
from codestory_orchestrator.errors import RoleMissing, ServiceUnavailable, Unauthenticated

AUDIENCE = "api://code-story"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


class LittleIssuer:
    """Serves its discovery document and its keys; counts how often it is asked for these."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.away = False
        self.claims_to_be: str | None = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.answer(self)

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its name there

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/tenant/v2.0"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        discovery = handler.path == "/tenant/v2.0/.well-known/openid-configuration"
        self.asked += not discovery
        said: dict[str, Any] = {"keys": self.keys}
        if discovery:
            said = {"issuer": self.claims_to_be or self.url, "jwks_uri": f"{self.url}/keys"}
        body = json.dumps(said).encode()
        handler.send_response(503 if self.away else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def has(self, kid: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, **more: str) -> None:
        public = (
            RSAAlgorithm.to_jwk(key.public_key())
            if isinstance(key, rsa.RSAPrivateKey)
            else ECAlgorithm.to_jwk(key.public_key())
        )
        self.keys.append({**json.loads(public), "kid": kid, "use": "sig"} | more)

    def token(self, key: Any = RSA, *, kid: str = "first", algorithm: str = "RS256", **claims: Any) -> str:
        stated = {
            "iss": self.url,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 600,
            "nbf": int(time.time()) - 5,
            "sub": "subject",
            "oid": "object-1",
            "roles": ["operator"],
        } | claims
        kept = {name: value for name, value in stated.items() if value is not None}
        return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def issuer() -> Iterator[LittleIssuer]:
    little = LittleIssuer()
    little.has("first", RSA)
    yield little
    little.close()


def _settings(issuer: LittleIssuer, **more: Any) -> AccessSettings:
    asked: dict[str, Any] = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "oidc_leeway_seconds": 0} | more
    return AccessSettings(**asked)


def _tokens(issuer: LittleIssuer, **settings: Any) -> Tokens:
    """Over plain HTTP: to read the system's certificates takes longer than each test."""
    return Tokens(_settings(issuer, **settings), httpx.AsyncHTTPTransport(verify=False))


async def _grant(issuer: LittleIssuer, token: str, **settings: Any) -> Grant:
    tokens = _tokens(issuer, **settings)
    try:
        return await tokens.grant(token)
    finally:
        await tokens.close()


async def test_a_token_says_who_asks_what_they_may_and_until_when(issuer: LittleIssuer) -> None:
    ends = int(time.time()) + 300

    grant = await _grant(issuer, issuer.token(exp=ends))

    assert grant.principal.owner == "object-1"
    assert grant.principal.role is Role.OPERATOR
    assert grant.principal.name == "token subject"
    assert grant.expires_at
    assert grant.expires_at.timestamp() == ends


@pytest.mark.parametrize("audience", ["00000000-aaaa-4bbb-8ccc-000000000001", "api://code-story"])
async def test_tokens_in_the_shape_of_entra_are_taken(issuer: LittleIssuer, audience: str) -> None:
    """v2.0: a person's bears `azp` and `scp`, a managed identity's `roles` without `scp`; keys say who issues them."""
    issuer.keys[0] |= {"issuer": issuer.url, "x5t": "first"}
    entra = {
        "ver": "2.0",
        "tid": "tenant",
        "azp": "another-app",
        "azpacr": "1",
        "uti": "x",
        "rh": "0.A",
        "aud": audience,
    }

    person = issuer.token(**entra, scp="access_as_user", preferred_username="a@b.example", roles=["Ingest.Run"])
    service = issuer.token(**entra, idtyp="app", sub="object-1", roles=["Ingest.Run"])
    chosen = {"oidc_audience": audience, "oidc_roles": {"Ingest.Run": Role.OPERATOR}}

    for token in (person, service):
        principal = (await _grant(issuer, token, **chosen)).principal
        assert (principal.owner, principal.role) == ("object-1", Role.OPERATOR)


async def test_an_issuer_of_every_tenant_is_not_followed(issuer: LittleIssuer) -> None:
    issuer.claims_to_be = "https://login.microsoftonline.com/{tenantid}/v2.0"

    with pytest.raises(ServiceUnavailable):
        await _grant(issuer, issuer.token())


async def test_elliptic_keys_sign_too(issuer: LittleIssuer) -> None:
    issuer.has("elliptic", EC, alg="ES256")

    assert await _grant(issuer, issuer.token(EC, kid="elliptic", algorithm="ES256"))


def _with_header(token: str, **header: Any) -> str:
    """The same claims and signature under another header."""
    encoded = base64url_encode(json.dumps({"typ": "JWT", **header}).encode()).decode()
    return ".".join((encoded, *token.split(".")[1:]))


def _public_pem() -> bytes:
    return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _signed_with_the_public_key(token: str) -> str:
    """HS256, keyed with what everybody knows: the classic confusion. PyJWT itself would not make one."""
    import hashlib
    import hmac

    head = base64url_encode(json.dumps({"alg": "HS256", "kid": "first"}).encode()).decode()
    signed = f"{head}.{token.split('.')[1]}"
    signature = hmac.new(_public_pem(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64url_encode(signature).decode()}"


def _tampered(token: str) -> str:
    """Its owner is another; the signature is as it was."""
    head, body, signature = token.split(".")
    claims = json.loads(base64url_decode(body)) | {"oid": "object-2", "roles": ["admin"]}
    return f"{head}.{base64url_encode(json.dumps(claims).encode()).decode()}.{signature}"


#: How each is made, and what is said of it.
WRONG: list[tuple[Callable[[LittleIssuer], str], str]] = [
    (lambda i: i.token(exp=int(time.time()) - 1), "expired"),
    (lambda i: i.token(nbf=int(time.time()) + 60), "not valid yet"),
    (lambda i: i.token(aud="api://another"), "another service"),
    (lambda i: i.token(iss="https://login.microsoftonline.com/other/v2.0"), "another issuer"),
    (lambda i: i.token(iss=None), ""),
    (lambda i: i.token(aud=None), ""),
    (lambda i: i.token(exp=None), ""),
    (lambda i: i.token(exp="soon"), ""),
    (lambda i: i.token(exp=10**15), "exp"),
    (lambda i: i.token(OTHER), "signature"),
    (lambda i: i.token(OTHER, kid="second"), "no such key"),
    (lambda i: i.token(algorithm="RS512"), "algorithm"),
    (lambda i: i.token(EC, algorithm="ES256"), "no such key"),
    (lambda i: _with_header(i.token(), alg="none", kid="first"), "algorithm"),
    (lambda i: f"{_with_header(i.token(), alg='none', kid='first').rpartition('.')[0]}.", "algorithm"),
    (lambda i: _with_header(i.token(), alg="RS256"), "kid"),
    (lambda i: _with_header(i.token(), alg="RS256", kid=["first"]), ""),
    (lambda i: _signed_with_the_public_key(i.token()), "algorithm"),
    (lambda i: _tampered(i.token()), "signature"),
    (lambda i: i.token(oid=None, sub=None), "sub"),
    (lambda i: i.token()[:-10], ""),
    (lambda _: "a.b.c", ""),
    (lambda _: "a" * 20_000, "too long"),
    (lambda _: "é.b.c", ""),
]


@pytest.mark.parametrize(("made", "why"), WRONG)
async def test_a_token_that_is_not_whole_and_ours_is_not_taken(
    issuer: LittleIssuer, made: Callable[[LittleIssuer], str], why: str
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await _grant(issuer, made(issuer))

    assert why in str(refused.value)
    assert 'error="invalid_token"' in refused.value.headers["WWW-Authenticate"]


async def test_a_key_that_is_not_for_signing_signs_nothing(issuer: LittleIssuer) -> None:
    issuer.keys.clear()
    issuer.has("first", RSA, use="enc")

    with pytest.raises(Unauthenticated):
        await _grant(issuer, issuer.token())


@pytest.mark.parametrize(
    ("stated", "role"),
    [
        (["viewer", "admin", "operator"], Role.ADMIN),
        (["viewer", "something"], Role.VIEWER),
        ("viewer operator", Role.OPERATOR),
    ],
)
async def test_the_highest_role_that_a_token_names_counts(issuer: LittleIssuer, stated: Any, role: Role) -> None:
    assert (await _grant(issuer, issuer.token(roles=stated))).principal.role is role


@pytest.mark.parametrize("stated", [None, [], ["Ingest.Admin"], [7, None], 7, {"admin": True}])
async def test_a_token_without_a_role_that_counts_is_known_but_may_nothing(issuer: LittleIssuer, stated: Any) -> None:
    with pytest.raises(RoleMissing) as refused:
        await _grant(issuer, issuer.token(roles=stated))

    assert "viewer, operator, admin" in str(refused.value)


async def test_roles_of_other_names_are_mapped(issuer: LittleIssuer) -> None:
    mapping = {"Ingest.Admin": "admin", "Ingest.Read": "viewer"}

    grant = await _grant(issuer, issuer.token(groups=["Ingest.Admin"]), oidc_roles=mapping, oidc_roles_claim="groups")
    with pytest.raises(RoleMissing):
        await _grant(issuer, issuer.token(roles=["admin"]), oidc_roles=mapping)

    assert grant.principal.role is Role.ADMIN


async def test_new_keys_of_the_issuer_are_fetched_when_one_is_met_but_not_for_every_invented_one(
    issuer: LittleIssuer,
) -> None:
    tokens = _tokens(issuer, oidc_retry_seconds=0.001)
    await tokens.grant(issuer.token())
    issuer.keys.clear()
    issuer.has("second", OTHER)

    assert await tokens.grant(issuer.token(OTHER, kid="second"))
    with pytest.raises(Unauthenticated):  # the old key has been withdrawn
        await tokens.grant(issuer.token())
    await tokens.close()

    tokens, before = _tokens(issuer, oidc_retry_seconds=60), issuer.asked
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await tokens.grant(issuer.token(kid=f"invented-{number}"))
    await tokens.close()

    assert issuer.asked == before + 1


async def test_what_is_known_of_an_issuer_counts_while_it_is_away(issuer: LittleIssuer) -> None:
    tokens = _tokens(issuer, oidc_refresh_seconds=0.001, oidc_retry_seconds=0.001)
    await tokens.grant(issuer.token())
    issuer.away = True

    assert await tokens.grant(issuer.token())
    await tokens.close()


async def test_an_issuer_that_was_never_reached_is_said_to_be_away(issuer: LittleIssuer) -> None:
    issuer.away = True

    with pytest.raises(ServiceUnavailable):
        await _grant(issuer, issuer.token())


async def test_a_discovery_document_of_another_issuer_is_not_followed(issuer: LittleIssuer) -> None:
    issuer.claims_to_be = "https://evil.example"

    with pytest.raises(ServiceUnavailable):
        await _grant(issuer, issuer.token())


@pytest.mark.parametrize(
    "wrong",
    [
        {"oidc_audience": ""},
        {"oidc_issuer": "http://login.example/tenant"},
        {"oidc_jwks_url": "http://login.example/keys"},
        {"oidc_algorithms": ("RS256", "HS256")},
        {"oidc_algorithms": ("none",)},
        {"oidc_algorithms": ()},
        {"oidc_roles": {"Ingest.Admin": "root"}},
    ],
)
def test_settings_that_would_let_others_decide_are_refused(issuer: LittleIssuer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _settings(issuer, **wrong)
