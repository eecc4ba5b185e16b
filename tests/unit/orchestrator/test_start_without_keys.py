"""On which addresses the orchestrator serves with and without authentication."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from codestory_orchestrator.settings import OrchestratorSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_this_machine_alone_needs_no_keys(host: str) -> None:
    assert not OrchestratorSettings(host=host).authenticates


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "ingest.example", ""])
def test_without_keys_nothing_else_is_served_and_the_refusal_says_what_to_do(host: str) -> None:
    with pytest.raises(ValidationError, match="codestory auth keys create"):
        OrchestratorSettings(host=host)


def test_with_keys_or_an_issuer_any_address_is_served() -> None:
    with_keys = OrchestratorSettings(host="0.0.0.0", api_keys_file=Path("keys.json"))
    with_issuer = OrchestratorSettings(
        host="::", oidc_issuer="https://login.example/tenant/v2.0", oidc_audience="api://code-story"
    )

    assert with_keys.authenticates
    assert with_issuer.authenticates


def test_an_empty_name_of_a_file_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_API_KEYS_FILE", "")
    monkeypatch.setenv("CODESTORY_OIDC_ISSUER", "")

    assert not OrchestratorSettings().authenticates


@pytest.mark.parametrize("origin", ["*", "https://*.example", "portal.example", "https://portal.example/", "null"])
def test_origins_are_named_exactly(origin: str) -> None:
    with pytest.raises(ValidationError, match="origin"):
        OrchestratorSettings(cors_origins=(origin,))
