"""One chat completion over HTTP, asked for until there is an answer or no hope of one. Only this file asks again.

Neither prompt nor answer nor credentials stand in any log or error: what an endpoint says of an error is shown bounded,
and not at all where it repeats the request."""

import asyncio
import json
import math
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NoReturn

import httpx

from codestory import telemetry
from codestory.redaction import redact
from codestory.step_errors import StepError, TemporaryStepError
from codestory_summarizer import prompt
from codestory_summarizer.prompt import Prompt
from codestory_summarizer.provider import Filtered, Reply, Unanswered, Usage
from codestory_summarizer.providers import answer, delay
from codestory_summarizer.providers.answer import Completion, NoAnswer, Refusal
from codestory_summarizer.providers.budget import Budget
from codestory_summarizer.providers.endpoint import Endpoint, LimitName, variable
from codestory_summarizer.providers.pace import Pace, Turn
from codestory_summarizer.settings import SummarizerSettings
from codestory_summarizer.subject import Subject

#: A summary takes some 1 kB. What is larger is no answer, and is not read to its end.
MAX_ANSWER_BYTES = 2**20
#: Bytes of a prompt that make a token, about. Tokenizers differ and fetch their tables from a network; for code this is
#: within a fifth of them, rather too many than too few.
BYTES_PER_TOKEN = 3.5
#: What a chat's own marks take.
MARKS = 12
#: Calls for one subject that may bring back what is no answer.
GARBAGE_TRIES = 3
#: How often a prompt that is too long is halved.
HALVINGS = 4
#: Subjects in a row without an answer, after which it is the endpoint and not they.
SILENCE = 20
#: Letters and digits of a message that stand in the prompt, too, from which on it repeats the request.
REPEATED = 12
#: What separates them, as endpoints quote a text.
NO_LETTERS = re.compile(r"\\[nrt]|[\W_]+")
#: Loopback is reached directly, whatever proxy the environment names.
DIRECT: dict[str, httpx.AsyncBaseTransport | None] = dict.fromkeys(
    ["all://127.0.0.1", "all://localhost", "all://[::1]"]
)

log = telemetry.logger(__name__)


@dataclass(slots=True)
class _Call:
    """One subject's way to its answer. `answered`: how many others had theirs when it began."""

    subject: Subject
    prompt: Prompt
    answered: int
    usage: Usage = field(default_factory=Usage)
    failures: int = 0
    garbage: int = 0
    halvings: int = 0
    adapted: bool = False
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class _Sent:
    """What may be otherwise the next time."""

    headers: Mapping[str, str] = field(repr=False)
    limit: LimitName
    room: int


@dataclass(frozen=True, slots=True)
class _Said:
    """An HTTP answer; without a status, why there is none."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)
    whole: bool = True
    reason: str = ""


class ChatProvider:
    """A model behind an endpoint. Safe for any number of calls at once."""

    def __init__(self, endpoint: Endpoint, settings: SummarizerSettings, budget: Budget) -> None:
        effort = settings.llm_reasoning_effort
        self.identity = ":".join(filter(None, [endpoint.provider, endpoint.model, effort]))
        self.destination = endpoint.destination
        self._endpoint, self._settings = endpoint, settings
        self._pace = Pace(
            budget, {"requests": settings.llm_requests_per_minute, "tokens": settings.llm_tokens_per_minute}
        )
        self._limit: LimitName = endpoint.limit
        self._room = 0
        self._answered = self._silent = 0
        self._http = httpx.AsyncClient(
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(settings.llm_read_timeout, connect=settings.llm_connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
            follow_redirects=False,
            verify=_trusted(endpoint.url),
            mounts=DIRECT,
        )

    def tokens(self, subject: Subject) -> int:
        return self._estimate(prompt.of(subject))

    async def summarize(self, subject: Subject) -> Reply:
        call = _Call(subject, prompt.of(subject), self._answered)
        with telemetry.part(telemetry.MODEL_CALL) as said:
            try:
                return await self._answer_of(call)
            finally:
                self._count(call.usage)
                said["tokens"] = call.usage.input + call.usage.output

    def _count(self, usage: Usage) -> None:
        """What one subject took, with all that was asked again."""
        settings = self._settings
        kinds = (
            ("input", usage.input, usage.input - usage.cached, settings.llm_price_input),
            ("cached", usage.cached, usage.cached, settings.llm_price_cached),
            ("output", usage.output, usage.output, settings.llm_price_output),
        )
        for kind, tokens, paid, price in kinds:
            telemetry.MODEL_TOKENS.labels(kind).inc(max(0, tokens))
            if price:
                telemetry.MODEL_SPEND.labels(kind).inc(max(0, paid) * price / 1e6)

    async def _answer_of(self, call: _Call) -> Reply:
        try:
            while (reply := await self._attempt(call)) is None:
                pass  # bounded: whatever leads here again is counted in the call
        except Unanswered as unanswered:
            self._silent += 1
            if self._silent >= SILENCE:
                raise StepError(
                    f"{SILENCE} subjects in a row got no usable answer from {self.destination}; look at "
                    f"{self._endpoint.advice}. The last: {unanswered}"
                ) from unanswered
            raise
        except Filtered:
            self._silent = 0
            raise
        self._silent = 0
        return reply

    async def close(self) -> None:
        await self._http.aclose()
        await self._endpoint.credentials.close()

    def _estimate(self, of: Prompt) -> int:
        """Prompt and the most of an answer: so endpoints count when they let a call in; the use corrects nothing."""
        size = len(of.system.encode()) + len(of.user.encode())
        return math.ceil(size / BYTES_PER_TOKEN) + MARKS + of.max_output_tokens + self._room

    async def _attempt(self, call: _Call) -> Reply | None:
        """None: ask again, now."""
        async with self._pace.turn(self._estimate(call.prompt)) as turn:
            sent = _Sent(await self._endpoint.credentials.headers(), self._limit, self._room)
            said = await self._send(call.prompt, sent)
            wait = await self._wait(call, said, turn)
        if wait is not None:
            await asyncio.sleep(wait)
            return None
        if said.status == HTTPStatus.OK:
            return self._completed(call, said, sent)
        return await self._refused(call, said, sent)

    async def _send(self, of: Prompt, sent: _Sent) -> _Said:
        messages = [{"role": "system", "content": of.system}, {"role": "user", "content": of.user}]
        asked: dict[str, object] = {"model": self._endpoint.model, "messages": messages}
        asked[sent.limit] = of.max_output_tokens + sent.room
        if self._settings.llm_reasoning_effort:
            asked["reasoning_effort"] = self._settings.llm_reasoning_effort
        content = json.dumps(asked).encode()
        headers = {"Content-Type": "application/json", **sent.headers}
        began = time.monotonic()
        said = await self._said(content, headers)
        telemetry.MODEL_SECONDS.inc(time.monotonic() - began)
        telemetry.MODEL_REQUESTS.labels(str(said.status or "none")).inc()
        return said

    async def _said(self, content: bytes, headers: Mapping[str, str]) -> _Said:
        seconds = self._settings.llm_timeout
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream("POST", self._endpoint.url, content=content, headers=headers) as response,
            ):
                body, whole = await _bounded(response)
                return _Said(response.status_code, response.headers, body, whole)
        except TimeoutError:
            return _Said(reason=f"no whole answer within {seconds:g} s")
        except httpx.RequestError as error:
            return _Said(reason=self._shown(f"{type(error).__name__} {error}".strip(), call=None))

    async def _wait(self, call: _Call, said: _Said, turn: Turn) -> float | None:
        """The seconds before the next try, if this one failed in a way that passes."""
        if not _passes(said.status):
            return None
        call.failures += 1
        refusal = answer.refusal(said.body)
        call.usage += refusal.usage
        if refusal.code == "insufficient_quota":
            raise StepError(f"{self.destination}: the account's quota is used up ({self._told(call, said, refusal)}).")
        settings = self._settings
        asked = delay.asked(said.headers, datetime.now(UTC))
        wait = asked or delay.backoff(call.failures, settings.llm_backoff_seconds, settings.llm_backoff_limit_seconds)
        log.info("model.retry", status=said.status, failures=call.failures, wait=round(wait, 3))
        busy = said.status == HTTPStatus.TOO_MANY_REQUESTS or asked is not None
        if busy:
            await self._pace.refused(turn, wait)
        if asked is not None and asked > settings.llm_retry_after_limit_seconds:
            raise TemporaryStepError(f"{self.destination} asks to be left alone for {asked:.0f} s.")
        if call.failures >= settings.llm_attempts:
            self._give_up(call, said, refusal)
        return 0 if busy else wait

    def _give_up(self, call: _Call, said: _Said, refusal: Refusal) -> NoReturn:
        """It is this subject's own failure only if others got their answers meanwhile."""
        told = f"no answer in {call.failures} tries: {self._told(call, said, refusal)}"
        if said.status != HTTPStatus.TOO_MANY_REQUESTS and self._answered > call.answered:
            raise Unanswered(told, call.usage)
        raise TemporaryStepError(f"{self.destination}: {told}")

    def _completed(self, call: _Call, said: _Said, sent: _Sent) -> Reply | None:
        try:
            completion = answer.completion(said.body)
        except NoAnswer as no:
            call.usage += no.usage
            call.garbage += 1
            if call.garbage < GARBAGE_TRIES:
                return None
            kind = said.headers.get("content-type", "").partition(";")[0][:40] or "of no type"
            told = f"{no} ({kind})" if said.whole else f"the answer is larger than {MAX_ANSWER_BYTES} bytes"
            raise Unanswered(told, call.usage) from no
        call.usage += completion.usage
        if completion.filtered:
            raise Filtered(completion.filtered, call.usage)
        if not completion.text:
            return self._thought_only(call, completion, sent)
        self._answered += 1
        self._pace.answered()
        return Reply(completion.text, call.usage, completion.cut, completion.model, shortened=call.halvings > 0)

    def _thought_only(self, call: _Call, completion: Completion, sent: _Sent) -> None:
        """The limit was reached before the answer began: such models get more room, from now on."""
        if sent.room < self._settings.llm_reasoning_tokens:
            self._room = self._settings.llm_reasoning_tokens
            return
        raise Unanswered(
            f"the model used up its {completion.usage.output} tokens before its answer began; raise "
            f"{variable('llm_reasoning_tokens')}",
            call.usage,
        )

    async def _refused(self, call: _Call, said: _Said, sent: _Sent) -> None:
        """Returns where another try may help; nobody waits for it."""
        refusal = answer.refusal(said.body)
        call.usage += refusal.usage
        if refusal.filtered:
            raise Filtered(answer.named(refusal.categories), call.usage)
        told = self._told(call, said, refusal)
        where = f"{self.destination} ({told})"
        match said.status:
            case 401 | 403:
                if not call.renewed and await self._endpoint.credentials.renew(sent.headers):
                    call.renewed = True
                    return
                raise StepError(f"{where} refuses the credentials: look at {self._endpoint.credentials.advice}.")
            case 404:
                raise StepError(f"{where} has no model {self._endpoint.model!r} here: look at {self._endpoint.advice}.")
            case status if 300 <= status < 400:
                raise StepError(f"{where} redirects, which is not followed: look at {self._endpoint.advice}.")
            case 400 | 413 | 422 if self._adapted(call, refusal, sent) or self._shortened(call, said, refusal):
                return
            case _:
                raise Unanswered(f"refused: {told}", call.usage)

    def _adapted(self, call: _Call, refusal: Refusal, sent: _Sent) -> bool:
        """The limit has two names, and each endpoint may know one alone; once per call, and for all calls to come."""
        if call.adapted or not refusal.unsupported(sent.limit):
            return False
        self._limit = "max_tokens" if sent.limit == "max_completion_tokens" else "max_completion_tokens"
        call.adapted = True
        return True

    def _shortened(self, call: _Call, said: _Said, refusal: Refusal) -> bool:
        if not (refusal.too_long or said.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE) or call.halvings >= HALVINGS:
            return False
        subject = call.subject
        if not subject.code and len(subject.dependencies) < 2:
            return False
        call.halvings += 1
        call.subject = replace(
            subject,
            code=subject.code[: len(subject.code) // 2],
            docstring=subject.docstring[: len(subject.docstring) // 2],
            dependencies=subject.dependencies[: (len(subject.dependencies) + 1) // 2],
            truncated=True,
        )
        call.prompt = prompt.of(call.subject)
        return True

    def _told(self, call: _Call, said: _Said, refusal: Refusal) -> str:
        """An error in a few words. What is said of refused credentials may hold a part of them, so it is left out."""
        if not said.status:
            return said.reason
        words = [f"HTTP {said.status}", refusal.code]
        if said.status not in {401, 403} and refusal.message:
            words.append(self._shown(refusal.message, call))
        return " ".join(filter(None, words))

    def _shown(self, message: str, call: _Call | None) -> str:
        text = "".join(character for character in message[:200] if character.isprintable())
        if call and _repeats(text, call.prompt.user):
            return "(its message repeats the request and is left out)"
        for hidden in self._endpoint.credentials.hides():
            text = text.replace(hidden, "…")
        return redact(text).text


def _trusted(url: str) -> ssl.SSLContext:
    """Whose certificates are good: of SSL_CERT_FILE, else of certifi. Plain http needs none, and saves the time."""
    return httpx.create_ssl_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _passes(status: int) -> bool:
    return status in {0, 408, 409, 429} or status >= 500


def _repeats(text: str, of: str) -> bool:
    text, of = NO_LETTERS.sub("", text), NO_LETTERS.sub("", of)
    return any(text[start : start + REPEATED] in of for start in range(len(text) - REPEATED + 1))


async def _bounded(response: httpx.Response) -> tuple[bytes, bool]:
    """The body, and whether it is the whole."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            return b"", False
    return bytes(body), True
