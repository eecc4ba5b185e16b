"""Tokens of Entra ID instead of a key: each of Azure's ways to one, renewed when they end or are refused."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from codestory.step_errors import StepError, TemporaryStepError
from codestory.testing_models import ModelServer, Rules
from codestory_summarizer.provider import Reply
from codestory_summarizer.providers.chat import ChatProvider
from codestory_summarizer.subject import Subject

Make = Callable[..., ChatProvider]
MakeSubject = Callable[..., Subject]
SCOPE = "https://cognitiveservices.azure.com/.default"


@pytest.fixture(autouse=True)
def no_identity_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `az login` either: nothing is found on this path."""
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "FEDERATED_TOKEN_FILE", "AUTHORITY_HOST"):
        monkeypatch.delenv(f"AZURE_{name}", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.fixture
def app_service(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Container Apps and App Service offer a managed identity."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "an-identity-header")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def entra(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """A token endpoint that speaks TLS, as azure-identity insists, by a certificate of a private authority."""
    authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with ModelServer(certificate=tmp_path / "server.pem") as server:
        yield server


def of_application(server: ModelServer, **changes: Any) -> dict[str, Any]:
    return {
        "azure_auth": "client_secret",
        "azure_url": server.url,
        "azure_authority": server.url,
        "azure_tenant_id": "a-tenant",
        "azure_client_id": "an-application",
        "azure_client_secret": server.rules.client_secret,
        **changes,
    }


@pytest.mark.usefixtures("app_service")
async def test_a_managed_identity_of_a_service_is_asked_once(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    made = provider("azure", azure_auth="managed_identity", azure_api_version="2024-10-21")

    await asyncio.gather(*(made.summarize(subject(number)) for number in range(5)))

    assert server.token_requests == ["app service https://cognitiveservices.azure.com"]
    assert all(request.headers["authorization"].startswith("Bearer token-1") for request in server.requests)
    assert all("api-key" not in request.headers for request in server.requests)


async def test_a_managed_identity_of_a_machine_is_found(
    server: ModelServer, provider: Make, subject: MakeSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url)
    made = provider("azure", azure_auth="managed_identity", azure_scope="https://ai.azure.com/.default")

    await made.summarize(subject())

    assert server.token_requests == ["machine https://ai.azure.com"]


async def test_a_client_secret_is_changed_for_a_token(entra: ModelServer, provider: Make, subject: MakeSubject) -> None:
    reply = await provider("azure", **of_application(entra)).summarize(subject())

    assert reply.text
    assert entra.token_requests == [f"secret {SCOPE}"]


async def test_a_federated_token_is_changed_for_one_of_entra(
    entra: ModelServer, provider: Make, subject: MakeSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("a-federated-token")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))

    reply = await provider("azure", **of_application(entra, azure_auth="workload_identity")).summarize(subject())

    assert reply.text
    assert entra.token_requests == [f"federated {SCOPE}"]


@pytest.mark.usefixtures("app_service")
@pytest.mark.parametrize("rules", [Rules(token_calls=10)])
async def test_tokens_that_are_refused_in_mid_run_are_renewed_and_no_summary_fails(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    made = provider("azure", azure_auth="managed_identity")
    parallel = asyncio.Semaphore(4)

    async def one(number: int) -> Reply:
        async with parallel:
            return await made.summarize(subject(number))

    replies = await asyncio.gather(*map(one, range(30)))

    refused = sum(request.status == 401 for request in server.requests)
    assert all(reply.text for reply in replies)
    assert len(server.requests) == 30 + refused
    assert 1 < len(server.token_requests) <= 1 + refused


@pytest.mark.usefixtures("app_service")
@pytest.mark.parametrize("rules", [Rules(token_calls=-1)])
async def test_tokens_that_are_never_accepted_stop_the_step(
    server: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    with pytest.raises(StepError, match="Cognitive Services OpenAI User"):
        await provider("azure", azure_auth="managed_identity").summarize(subject())

    assert len(server.requests) == 2


async def test_a_wrong_client_secret_stops_the_step_with_entras_own_code(
    entra: ModelServer, provider: Make, subject: MakeSubject
) -> None:
    made = provider("azure", **of_application(entra, azure_client_secret="a-wrong-secret"))

    with pytest.raises(StepError, match="AADSTS7000215") as error:
        await made.summarize(subject())

    assert not isinstance(error.value, TemporaryStepError)
    assert "a-wrong-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("auth", "words"), [("azure_cli", "Azure CLI not found"), ("workload_identity", "CODESTORY_AZURE_AUTH")]
)
async def test_an_identity_that_is_not_there_is_said_with_the_setting(
    server: ModelServer, provider: Make, subject: MakeSubject, auth: str, words: str
) -> None:
    with pytest.raises(StepError, match=words):
        await provider("azure", azure_auth=auth).summarize(subject())

    assert not server.requests


async def test_a_certificate_of_nobody_known_is_refused(
    entra: ModelServer, provider: Make, subject: MakeSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    made = provider("azure", azure_url=entra.url, llm_attempts=1)

    with pytest.raises(TemporaryStepError, match="CERTIFICATE_VERIFY_FAILED"):
        await made.summarize(subject())

    assert not entra.requests
