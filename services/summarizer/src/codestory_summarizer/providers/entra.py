"""Entra ID tokens by azure-identity, of the one kind of identity that the settings name: nothing is guessed."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import (
    AzureCliCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from codestory.step_errors import StepError, TemporaryStepError
from codestory_summarizer.providers.endpoint import secret, variable
from codestory_summarizer.settings import SummarizerSettings

#: Seconds before its end from which a token is asked for anew; azure-identity does so from then on, too.
REFRESH = 300


class EntraToken:
    """One token for all calls of this process, asked for when first needed and before it ends."""

    advice = f"{variable('azure_auth')}, {variable('azure_scope')} and the role `Cognitive Services OpenAI User`"

    def __init__(self, settings: SummarizerSettings) -> None:
        self._settings = settings
        self._secret = secret("azure_client_secret", settings.azure_client_secret, settings.azure_client_secret_file)
        whole = self._secret and settings.azure_tenant_id and settings.azure_client_id
        if settings.azure_auth == "client_secret" and not whole:
            names = ", ".join(map(variable, ["azure_tenant_id", "azure_client_id", "azure_client_secret_file"]))
            raise StepError(f"An application asks Entra ID for a token by three settings: {names}.")
        self._lock = asyncio.Lock()
        self._source: TokenCredential | None = None
        self._token: AccessToken | None = None

    async def headers(self) -> Mapping[str, str]:
        async with self._lock:
            if self._token is None or self._token.expires_on - time.time() < REFRESH:
                self._token = await asyncio.to_thread(self._fetch)
            return {"Authorization": f"Bearer {self._token.token}"}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Another token, once for all who were refused with the same; the source is made anew, for it keeps its own."""
        async with self._lock:
            if self._token is not None and refused.get("Authorization") == f"Bearer {self._token.token}":
                self._token, self._source = None, None
            return True

    def hides(self) -> tuple[str, ...]:
        return tuple(filter(None, [self._secret, self._token.token if self._token else ""]))

    async def close(self) -> None:
        self._token, self._source = None, None

    def _fetch(self) -> AccessToken:
        try:
            self._source = self._source or self._identity()
            return self._source.get_token(self._settings.azure_scope)
        except ClientAuthenticationError as error:
            raise StepError(f"Entra ID gives no token; look at {self.advice}: {_words(error)}") from error
        except AzureError as error:
            raise TemporaryStepError(f"Entra ID cannot be asked for a token now: {_words(error)}") from error
        except ValueError as error:
            raise StepError(f"Entra ID cannot be asked as {variable('azure_auth')} says: {_words(error)}") from error

    def _identity(self) -> TokenCredential:
        """What asks for tokens. An authority that is named is taken as it is: a private cloud's is in no list."""
        settings = self._settings
        tenant, client = settings.azure_tenant_id or None, settings.azure_client_id or None
        asking: dict[str, Any] = {
            "connection_timeout": settings.llm_connect_timeout,
            "read_timeout": settings.llm_read_timeout,
        }
        if settings.azure_authority:
            asking |= {"authority": settings.azure_authority, "disable_instance_discovery": True}
        match settings.azure_auth:
            case "workload_identity":
                return WorkloadIdentityCredential(tenant_id=tenant, client_id=client, **asking)
            case "managed_identity":
                return ManagedIdentityCredential(client_id=client, **asking)
            case "azure_cli":
                return AzureCliCredential(tenant_id=settings.azure_tenant_id)
            case _:
                return ClientSecretCredential(
                    settings.azure_tenant_id, settings.azure_client_id, self._secret, **asking
                )


def _words(error: Exception) -> str:
    """Its first line, bounded: Entra's own error code is in it."""
    return "".join(filter(str.isprintable, str(error).strip().partition("\n")[0]))[:300]
