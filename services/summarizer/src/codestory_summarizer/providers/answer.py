"""What an endpoint says: a completion, or a refusal and its kind. Reads bytes; knows no network."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from codestory_summarizer.provider import Usage

#: A content filter that does not say what it minds.
UNNAMED = "no category named"
#: What models behind servers that know no thinking say before their answer.
_THOUGHTS = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_CODE = re.compile(r"[\w.\- ]{1,60}")
_FILTER_CODES = {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "invalid_prompt"}
_LENGTH_CODES = {"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"}
_PARAMETER = re.compile(r"\bmax_(?:completion_)?tokens\b")
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|unrecognized|unknown|unexpected|not permitted|not allowed", re.IGNORECASE
)
_LENGTH_WORDS = re.compile(
    r"context (?:length|size|window)|maximum (?:prompt|input) length|too many tokens|too long", re.IGNORECASE
)


class NoAnswer(Exception):
    """Bytes that are no completion, and what of them says what they cost."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.usage = usage or Usage()


@dataclass(frozen=True, slots=True)
class Completion:
    """`thought`: tokens of the output that are not in the text. `filtered`: why the filter took the text, or empty."""

    text: str
    usage: Usage
    thought: int
    cut: bool
    filtered: str
    model: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the endpoint words it. The message is the endpoint's own and may hold anything."""

    code: str
    message: str
    usage: Usage
    #: Categories of the content filter.
    categories: tuple[str, ...] = ()
    parameter: str = ""

    @property
    def filtered(self) -> bool:
        return bool(self.categories) or self.code.lower() in _FILTER_CODES

    def unsupported(self, parameter: str) -> bool:
        """Whether it does not know this parameter. Such a message may name others, too."""
        words = f"{self.code} {self.message}"
        named = self.parameter or next(iter(_PARAMETER.findall(self.message)), "")
        return named == parameter and bool(_UNSUPPORTED.search(words)) and not self.too_long

    @property
    def too_long(self) -> bool:
        return self.code.lower() in _LENGTH_CODES or bool(_LENGTH_WORDS.search(self.message))


class _Said(BaseModel):
    """Errors of validation would quote what was said, and end up in a traceback."""

    model_config = ConfigDict(hide_input_in_errors=True)


class _Message(_Said):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Said):
    message: _Message
    finish_reason: str | None = None
    content_filter_results: JsonValue = None


class _Body(_Said):
    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None


class _InputDetails(_Said):
    cached_tokens: int | None = None


class _OutputDetails(_Said):
    reasoning_tokens: int | None = None


class _Usage(_Said):
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


def completion(body: bytes) -> Completion:
    """Raises NoAnswer for everything that is not one."""
    said = _object(body)
    usage, thought = _usage(said)
    try:
        parsed = _Body.model_validate(said)
    except ValidationError as error:
        raise NoAnswer("the answer is not a chat completion", usage) from error
    choice = parsed.choices[0]
    text = _THOUGHTS.sub("", choice.message.content or "").strip()
    filtered = _filtered(choice)
    cut = choice.finish_reason == "length"
    if not (text or filtered or cut):
        raise NoAnswer("the answer holds no text", usage)
    return Completion(text, usage, thought, cut, filtered, (parsed.model or "")[:100])


def refusal(body: bytes) -> Refusal:
    """Never raises: a refusal that cannot be read is one without a code."""
    try:
        said = _object(body)
    except NoAnswer:
        return Refusal("", "", Usage())
    error = said.get("error")
    if isinstance(error, str):  # Ollama, for one, and llama.cpp
        error = {"message": error}
    if not isinstance(error, Mapping):
        error = said
    inner = error.get("innererror")
    return Refusal(
        code=_code(error.get("code")) or _code(error.get("type")),
        message=_text(error.get("message")),
        usage=_usage(said)[0],
        categories=tuple(_categories(inner)) if isinstance(inner, Mapping) else (),
        parameter=_text(error.get("param")),
    )


def _filtered(choice: _Choice) -> str:
    if choice.finish_reason == "content_filter":
        return named(_caught(choice.content_filter_results))
    return "the model declined" if choice.message.refusal and not choice.message.content else ""


def named(categories: Iterable[str]) -> str:
    """What the filter minds, in words that few subjects differ in, for gaps are counted by them."""
    return ", ".join(categories) or UNNAMED


def _categories(inner: Mapping[str, JsonValue]) -> list[str]:
    found = _caught(inner.get("content_filter_result") or inner.get("content_filter_results"))
    return found or ([UNNAMED] if _code(inner.get("code")).lower() in _FILTER_CODES else [])


def _caught(results: JsonValue) -> list[str]:
    """The names of those that were the reason, such as `violence` and `jailbreak`."""
    if not isinstance(results, Mapping):
        return []
    return sorted(
        name[:40]
        for name, result in list(results.items())[:30]
        if _code(name) and isinstance(result, Mapping) and (result.get("filtered") is True)
    )


def _usage(said: Mapping[str, JsonValue]) -> tuple[Usage, int]:
    """Counts, and those of thinking. What cannot be read costs an answer nothing but its count."""
    try:
        usage = _Usage.model_validate(said.get("usage") or {})
    except ValidationError:
        return Usage(), 0
    details, thinking = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = max(0, details.cached_tokens or 0) if details else 0
    thought = max(0, thinking.reasoning_tokens or 0) if thinking else 0
    return Usage(usage.prompt_tokens, cached, usage.completion_tokens), thought


def _object(body: bytes) -> Mapping[str, JsonValue]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoAnswer("the answer is not JSON") from error
    if not isinstance(said, dict):
        raise NoAnswer("the answer is not a JSON object")
    return cast("dict[str, JsonValue]", said)


def _code(value: JsonValue) -> str:
    """A word of the endpoint's; anything else could be text of the request."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _CODE.fullmatch(text) else ""


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
