"""What decides who may ask the orchestrator."""

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.contracts.access import Role
from codestory_orchestrator.access.loopback import is_loopback

#: A secret that both sides share is none of these: whoever can check such a token can make one.
ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}
)


class AccessSettings(BaseSettings):
    """Prefix CODESTORY_. Neither a file of keys nor an issuer: everybody on this machine, and nobody else."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", frozen=True, extra="ignore")

    #: Made by `codestory auth keys create`. With it, or with an issuer, nobody is served who does not say who they are.
    api_keys_file: Path | None = None
    #: The file is looked at again after so long.
    api_keys_seconds: float = Field(default=1.0, ge=0, le=60)
    #: Of bearer tokens, exactly as they bear it: `https://login.microsoftonline.com/<tenant>/v2.0`.
    oidc_issuer: str = ""
    #: For whom a token must be: the client id of this service's registration, or its URI, as the tokens bear it.
    oidc_audience: str = ""
    #: A JSON list. Asymmetric ones only.
    oidc_algorithms: tuple[str, ...] = ("RS256", "ES256")
    #: Where the issuer's keys are; otherwise its discovery document says.
    oidc_jwks_url: str = ""
    #: The claim that holds the roles.
    oidc_roles_claim: str = Field(default="roles", min_length=1)
    #: Its values as roles, a JSON object: `{"Ingest.Admin": "admin"}`; no other counts. Empty: viewer, operator, admin.
    oidc_roles: dict[str, Role] = {}
    #: The claim that says whose the jobs are; a token without it: its `sub`.
    oidc_owner_claim: str = Field(default="oid", min_length=1)
    #: By so much clocks may differ.
    oidc_leeway_seconds: float = Field(default=30.0, ge=0, le=300)
    #: The issuer's keys are fetched again after so long.
    oidc_refresh_seconds: float = Field(default=3600.0, gt=0)
    #: For a key that is not known they are fetched at once, but not more often than this.
    oidc_retry_seconds: float = Field(default=10.0, gt=0)
    #: One request to the issuer.
    oidc_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    #: A ticket for one WebSocket is good for so long.
    tickets_seconds: int = Field(default=30, ge=1, le=300)
    #: `/metrics` without a key. Otherwise: on loopback yes, elsewhere no.
    metrics_public: bool | None = None
    #: Requests of each key or token's subject, at each orchestrator; 0: any number. Not without authentication.
    requests_per_minute: int = Field(default=1200, ge=0)
    #: Of them those that may begin work.
    submissions_per_minute: int = Field(default=120, ge=0)
    #: Jobs of one owner that have not ended; 0: any number.
    unfinished_jobs_per_owner: int = Field(default=1000, ge=0)
    #: Web pages from these origins may ask, a JSON list: `["https://portal.example"]`. They need a key as all others.
    cors_origins: tuple[str, ...] = ()

    @property
    def authenticates(self) -> bool:
        return self.api_keys_file is not None or bool(self.oidc_issuer)

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return value or None

    @field_validator("oidc_algorithms")
    @classmethod
    def _asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or set(value) - ASYMMETRIC:
            raise ValueError(f"takes one or more of {', '.join(sorted(ASYMMETRIC))}")
        return value

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def over_tls(cls, value: str) -> str:
        """The address as it is. ValueError if others could change what comes from there."""
        parts = urlsplit(value)
        if value and not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))):
            raise ValueError("must begin with https://: whoever can change its answers decides who may ask")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _exact(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if parts.scheme not in {"http", "https"} or f"{parts.scheme}://{parts.netloc}" != origin or "*" in origin:
                raise ValueError(f"{origin!r} is no origin: they look like https://portal.example or http://host:port")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError("CODESTORY_OIDC_ISSUER needs CODESTORY_OIDC_AUDIENCE: for whom its tokens must be")
        return self
