"""What the settings must say, and what is made of them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from codestory.step_errors import StepError
from codestory_summarizer.providers import azure, create, openai
from codestory_summarizer.settings import SummarizerSettings

AZURE: dict[str, Any] = {"azure_url": "https://r.openai.azure.com", "azure_api_key": "k"}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://r.openai.azure.com/openai/v1/chat/completions"),
        (
            {"azure_url": "https://r.openai.azure.com/openai/v1/"},
            "https://r.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            {"azure_url": "https://r.services.ai.azure.com/openai/"},
            "https://r.services.ai.azure.com/openai/v1/chat/completions",
        ),
        (
            {"azure_api_version": "2024-10-21"},
            "https://r.openai.azure.com/openai/deployments/d%2F1/chat/completions?api-version=2024-10-21",
        ),
    ],
)
def test_an_azure_resource_has_two_forms_of_address(settings: dict[str, Any], url: str) -> None:
    assert azure.endpoint(SummarizerSettings.model_validate(AZURE | settings), "d/1").url == url


@pytest.mark.parametrize(
    ("name", "settings", "setting"),
    [
        ("openai", {}, "CODESTORY_OPENAI_MODEL"),
        ("openai", {"openai_model": "m"}, "CODESTORY_OPENAI_API_KEY"),
        ("openai", {"openai_model": "m", "openai_api_key_file": Path("/nowhere/key")}, "CODESTORY_OPENAI_API_KEY_FILE"),
        ("openai", {"openai_model": "m", "openai_url": "ftp://h"}, "CODESTORY_OPENAI_URL"),
        ("openai", {"openai_model": "m", "openai_url": "https://[::1"}, "CODESTORY_OPENAI_URL"),
        ("openai", {"openai_model": "m", "openai_url": "https://u:secret@h/v1"}, "CODESTORY_OPENAI_URL"),
        ("openai", {"openai_model": "m", "openai_url": "http://models.example/v1"}, "CODESTORY_LLM_ALLOW_HTTP"),
        ("openai", {"openai_model": "m", "openai_api_key": "two\nlines"}, "CODESTORY_OPENAI_API_KEY"),
        ("azure", {}, "CODESTORY_AZURE_URL"),
        ("azure", AZURE, "CODESTORY_AZURE_DEPLOYMENT"),
        ("azure", {**AZURE, "azure_deployment": "d", "azure_api_key": ""}, "CODESTORY_AZURE_API_KEY"),
        (
            "azure",
            {**AZURE, "azure_deployment": "d", "azure_auth": "client_secret", "azure_client_secret": "s"},
            "CODESTORY_AZURE_TENANT_ID",
        ),
        ("magic", {}, "extractive, azure, openai"),
    ],
)
def test_what_is_missing_is_named_by_its_setting(name: str, settings: dict[str, Any], setting: str) -> None:
    with pytest.raises(StepError, match=setting) as error:
        create(name, "", SummarizerSettings.model_validate(settings), lambda _name: pytest.fail("no budget is needed"))

    assert "secret@" not in str(error.value)


def test_an_address_on_this_machine_needs_no_encryption_and_no_key() -> None:
    made = openai.endpoint(SummarizerSettings(openai_url="http://127.0.0.1:11434/v1"), "qwen")

    assert (made.url, made.destination) == (
        "http://127.0.0.1:11434/v1/chat/completions",
        "127.0.0.1:11434 (this machine)",
    )


def test_a_network_of_ones_own_may_be_plain() -> None:
    settings = SummarizerSettings(openai_url="http://ollama:11434/v1", llm_allow_http=True)

    assert openai.endpoint(settings, "qwen").destination == "ollama:11434"


async def test_a_key_from_a_file_wins_and_is_seen_nowhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-the-file\n")
    settings = SummarizerSettings(
        openai_api_key=SecretStr("from-the-environment"), openai_api_key_file=tmp_path / "key"
    )

    made = openai.endpoint(settings, "m")

    assert await made.credentials.headers() == {"Authorization": "Bearer from-the-file"}
    assert "from-the" not in repr(made) + repr(settings) + repr(vars(made.credentials))


@pytest.mark.parametrize(
    ("url", "limit"), [("https://api.openai.com/v1", "max_completion_tokens"), ("https://gw.example/v1", "max_tokens")]
)
def test_the_limit_has_the_name_that_the_host_is_likely_to_know(url: str, limit: str) -> None:
    assert openai.endpoint(SummarizerSettings(openai_url=url, openai_api_key=SecretStr("k")), "m").limit == limit
