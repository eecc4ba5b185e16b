"""Azure OpenAI and Foundry resources: v1 or the older URLs by deployment, with a key or an Entra token."""

from urllib.parse import SplitResult, quote, urlencode

from codestory.step_errors import StepError
from codestory_summarizer.providers.endpoint import Credentials, Endpoint, Key, address, place, secret, variable
from codestory_summarizer.settings import SummarizerSettings


def endpoint(settings: SummarizerSettings, model: str) -> Endpoint:
    if not settings.azure_url:
        raise StepError(
            f"No Azure resource is named: set {variable('azure_url')}, such as https://NAME.openai.azure.com"
        )
    base = address("azure_url", settings.azure_url, allow_http=settings.llm_allow_http)
    deployment = model or settings.azure_deployment
    if not deployment:
        raise StepError(f"No deployment is named: give the option `model`, or set {variable('azure_deployment')}.")
    return Endpoint(
        provider="azure",
        model=deployment,
        url=_url(base, deployment, settings.azure_api_version),
        destination=f"{place(base)} (Azure)",
        credentials=_credentials(settings),
        limit="max_completion_tokens",
        advice=f"{variable('azure_url')}, {variable('azure_api_version')} and the name of the deployment",
    )


def _url(base: SplitResult, deployment: str, version: str) -> str:
    """The address may be given with or without `/openai` or `/openai/v1`, as the portal shows both."""
    root = base.geturl().removesuffix("/v1").removesuffix("/openai")
    if not version:
        return f"{root}/openai/v1/chat/completions"
    query = urlencode({"api-version": version})
    return f"{root}/openai/deployments/{quote(deployment, safe='')}/chat/completions?{query}"


def _credentials(settings: SummarizerSettings) -> Credentials:
    if settings.azure_auth != "key":
        # azure-identity takes a second to import, and most who summarize need none of it.
        from codestory_summarizer.providers.entra import EntraToken  # noqa: PLC0415

        return EntraToken(settings)
    key = secret("azure_api_key", settings.azure_api_key, settings.azure_api_key_file)
    if not key:
        raise StepError(
            f"No key for Azure: set {variable('azure_api_key')} or {variable('azure_api_key_file')}, "
            f"or {variable('azure_auth')} for an Entra ID token."
        )
    return Key("api-key", "", key, f"{variable('azure_api_key')} or its _FILE")
