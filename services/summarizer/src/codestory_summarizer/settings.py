"""Where the models are, how they are reached, and what may be spent on them in a minute."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SummarizerSettings(BaseSettings):
    """Read from the environment, prefix CODESTORY_."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", extra="ignore")

    #: Provider `openai`: the address of any OpenAI-compatible API, up to and with `/v1`.
    openai_url: str = "https://api.openai.com/v1"
    #: The model, where a job does not name one.
    openai_model: str = ""
    #: Left empty for servers that want no key (Ollama, vLLM).
    openai_api_key: SecretStr = SecretStr("")
    #: A file that holds the key. It wins over openai_api_key.
    openai_api_key_file: Path | None = None

    #: Provider `azure`: the resource's address, such as `https://NAME.openai.azure.com`.
    azure_url: str = ""
    #: The deployment, where a job does not name one.
    azure_deployment: str = ""
    #: Empty: the v1 API, which has no versions. A version, such as `2024-10-21`: the older URLs, by deployment.
    azure_api_version: str = ""
    #: `key`: azure_api_key. An Entra ID token: `client_secret` of an application, `workload_identity` of a Kubernetes
    #: pod, `managed_identity` of an Azure service or machine, `azure_cli` of whoever ran `az login` here.
    azure_auth: Literal["key", "client_secret", "workload_identity", "managed_identity", "azure_cli"] = "key"
    azure_api_key: SecretStr = SecretStr("")
    #: A file that holds the key. It wins over azure_api_key.
    azure_api_key_file: Path | None = None
    #: Whom an Entra token is for. Some Foundry resources want `https://ai.azure.com/.default`.
    azure_scope: str = "https://cognitiveservices.azure.com/.default"
    #: The application's tenant. Empty: as the platform says it to a pod, or the user's own.
    azure_tenant_id: str = ""
    #: The application, or the user-assigned identity. Empty: as the platform says it, or the system-assigned one.
    azure_client_id: str = ""
    azure_client_secret: SecretStr = SecretStr("")
    #: A file that holds the client secret. It wins over azure_client_secret.
    azure_client_secret_file: Path | None = None
    #: Where Entra tokens come from, for sovereign clouds: an https address. Empty: the public cloud.
    azure_authority: str = ""

    #: Calls of all workers together in a minute, for each endpoint and model. 0: unlimited.
    llm_requests_per_minute: float = Field(default=0, ge=0)
    #: Tokens, counted as endpoints do for their limits: the prompt's and the most an answer may have. 0: unlimited.
    llm_tokens_per_minute: float = Field(default=0, ge=0)
    #: How often one summary is asked for while the endpoint is away, busy or fails.
    llm_attempts: int = Field(default=6, ge=1, le=20)
    #: The longest wait before the second attempt; it doubles with each. The wait is drawn at random up to that.
    llm_backoff_seconds: float = Field(default=0.5, ge=0)
    #: What that doubling ends at.
    llm_backoff_limit_seconds: float = Field(default=30, ge=0)
    #: An endpoint that asks to be left alone for longer ends this attempt of the step, which is made again later.
    llm_retry_after_limit_seconds: float = Field(default=120, ge=0)
    llm_connect_timeout: float = Field(default=10, gt=0)
    #: The longest silence of an endpoint that is answering.
    llm_read_timeout: float = Field(default=60, gt=0)
    #: One call as a whole, however busily it sends.
    llm_timeout: float = Field(default=120, gt=0)
    #: Handed on to models that think before they answer, such as `low`. Empty: the model's own default.
    llm_reasoning_effort: str = Field(default="", pattern=r"^[a-z]{0,20}$")
    #: What such a model may think, in tokens, beside its answer.
    llm_reasoning_tokens: int = Field(default=4000, ge=0)
    #: What a million tokens cost, in whatever currency, for the metric llm_spend. 0: it is not told.
    llm_price_input: float = Field(default=0, ge=0)
    #: Of the input, those that the endpoint had cached.
    llm_price_cached: float = Field(default=0, ge=0)
    llm_price_output: float = Field(default=0, ge=0)
    #: Code and key may cross a network unencrypted. Loopback may always be plain http.
    llm_allow_http: bool = False
