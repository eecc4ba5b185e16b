"""Any OpenAI-compatible API: OpenAI itself, vLLM, Ollama, llama.cpp, a gateway."""

from codestory.step_errors import StepError
from codestory_summarizer.providers.endpoint import Endpoint, Key, address, place, secret, variable
from codestory_summarizer.settings import SummarizerSettings

#: The one host whose newer models refuse `max_tokens`. Others know that name alone, and some ignore what they do not
#: know: asked by the new name, Ollama would write without end.
OPENAI = "api.openai.com"


def endpoint(settings: SummarizerSettings, model: str) -> Endpoint:
    base = address("openai_url", settings.openai_url, allow_http=settings.llm_allow_http)
    model = model or settings.openai_model
    if not model:
        raise StepError(f"No model is named: give the option `model`, or set {variable('openai_model')}.")
    key = secret("openai_api_key", settings.openai_api_key, settings.openai_api_key_file)
    if base.hostname == OPENAI and not key:
        raise StepError(f"{OPENAI} wants a key: set {variable('openai_api_key')} or {variable('openai_api_key_file')}.")
    return Endpoint(
        provider="openai",
        model=model,
        url=f"{base.geturl()}/chat/completions",
        destination=place(base),
        credentials=Key("Authorization", "Bearer", key, f"{variable('openai_api_key')} or its _FILE"),
        limit="max_completion_tokens" if base.hostname == OPENAI else "max_tokens",
        advice=f"{variable('openai_url')} and the model",
    )
