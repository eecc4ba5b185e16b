"""A server that speaks as model endpoints do, over a real socket: OpenAI's, Azure's, and Entra's for tokens.

    with ModelServer() as server:
        server.answer(throttled("2"), failing(500))   # the next calls are answered so, in this order

or as a process of its own, which prints its address: `python -m codestory.testing_models --port 0`. Its answers are the
same for the same prompt. What it was asked and what it counted is at `/_requests` and `/_totals`; `POST /_answers` with
`{"next": [...], "always": ..., "about": {words: ...}}`, each an `Answer` as JSON, sets what comes. Only tests import
this."""

import argparse
import hashlib
import json
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

#: What is kept of what was asked.
REQUESTS = 100_000
#: A server in a test ends its connections when it is closed; none waits for longer.
HANG_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """How one call is answered. As it stands: with a completion."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Instead of a completion.
    body: str | None = None
    content_type: str = "application/json"
    #: Seconds before anything is said, and between the two halves of what is.
    before: float = 0
    between: float = 0
    #: Says how long the body is, sends half of it, and hangs up.
    broken: bool = False
    finish: str = "stop"
    #: The text; empty: one made of the prompt.
    text: str | None = None
    caught: tuple[str, ...] = ()


def throttled(after: str = "", *, milliseconds: int | None = None, status: int = 429) -> Answer:
    """`after`: seconds, or an HTTP date."""
    headers = {"Retry-After": after} if after else {}
    if milliseconds is not None:
        headers["retry-after-ms"] = str(milliseconds)
    return _error(status, "429", "Requests have exceeded the call rate limit.", headers)


def in_seconds(seconds: float) -> str:
    """An HTTP date, for `throttled`."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def failing(status: int = 500, message: str = "The server had an error.") -> Answer:
    return _error(status, "server_error", message)


def refusing(status: int, code: str, message: str) -> Answer:
    return _error(status, code, message)


def too_long() -> Answer:
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    return _error(400, "context_length_exceeded", message)


def filtered_prompt(*categories: str) -> Answer:
    """As Azure refuses a prompt."""
    names = ("hate", "violence", *categories)
    results = {name: {"filtered": name in categories, "severity": "medium"} for name in names}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}
    message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    error = {"code": "content_filter", "message": message, "param": "prompt", "status": 400, "innererror": inner}
    return Answer(400, body=json.dumps({"error": error}))


def filtered_answer(*categories: str) -> Answer:
    return Answer(finish="content_filter", text="", caught=categories)


def garbage(body: str = "{]", content_type: str = "application/json") -> Answer:
    return Answer(body=body, content_type=content_type)


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, json.dumps({"error": {"code": code, "message": message}}))


@dataclass(frozen=True)
class Request:
    """One call for a completion, and the status it was given."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    status: int
    at: float


@dataclass
class Totals:
    """Tokens that answers spoke of; calls answered with a completion, and all others."""

    input: int = 0
    cached: int = 0
    output: int = 0
    completions: int = 0
    others: int = 0


@dataclass(frozen=True)
class Rules:
    """What the endpoint is like. `limit`: so many calls in so many seconds; the rest are told when those are over."""

    key: str = "a-key-for-tests"
    latency: float = 0
    limit: tuple[int, float] = (0, 1)
    #: Of the two names of the most an answer may take, the one that is known; empty: both.
    limit_name: str = ""
    models: tuple[str, ...] = ()  # empty: any
    #: Tokens that the model thinks before it answers; they count.
    thinking: int = 0
    #: How long Entra's tokens last, as they say, and after how many calls they are refused whatever they say.
    token_seconds: int = 3600
    token_calls: int = 0
    client_secret: str = "a-client-secret-for-tests"  # noqa: S105  # of this server alone


class ModelServer:
    """On a free port of loopback or of `host`, from its first moment to `close`."""

    def __init__(
        self, rules: Rules | None = None, *, host: str = "127.0.0.1", port: int = 0, certificate: Path | None = None
    ) -> None:
        """With a certificate (its file holds the key, too) it speaks TLS, as Entra's library insists on."""
        self.rules = rules or Rules()
        self.totals = Totals()
        self.requests: deque[Request] = deque(maxlen=REQUESTS)
        self.token_requests: list[str] = []
        self.arrived = 0  # calls, answered or not
        self._answers: deque[Answer] = deque()
        self._always: Answer | None = None
        self._about: dict[str, Answer] = {}
        self._tokens: dict[str, list[float]] = {}  # calls made with it, and when it ends
        self._window: list[float] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._http = _Http((host, port), self)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def answer(self, *answers: Answer) -> None:
        """The next calls are answered so, one each."""
        with self._lock:
            self._answers.extend(answers)

    def always(self, answer: Answer | None) -> None:
        """Every call is, until something else is said."""
        self._always = answer

    def answer_about(self, words: str, answer: Answer) -> None:
        """Every call whose prompt holds these words is answered so."""
        self._about[words] = answer

    def next_answer(self, prompt: str) -> Answer:
        with self._lock:
            self.arrived += 1
            for words, answer in self._about.items():
                if words in prompt:
                    return answer
            if self._answers:
                return self._answers.popleft()
            return self._always or self._over_limit() or Answer()

    def issue(self, how: str) -> dict[str, Any]:
        """A token, as all of Azure's ways to one say it."""
        with self._lock:
            self.token_requests.append(how)
            token = f"token-{len(self.token_requests)}-{hashlib.sha256(how.encode()).hexdigest()[:16]}"
            seconds = self.rules.token_seconds
            self._tokens[token] = [0, time.time() + seconds]
        ends = int(time.time()) + seconds
        return {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "expires_on": str(ends)}

    def admits(self, headers: Mapping[str, str], *, azure: bool) -> bool:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        with self._lock:
            if bearer in self._tokens:
                used = self._tokens[bearer]
                used[0] += 1
                calls = self.rules.token_calls
                return azure and time.time() < used[1] and not (calls and used[0] > calls)
        return self.rules.key in {"", headers.get("api-key", "") if azure else bearer}

    def record(self, request: Request, usage: Mapping[str, Any] | None) -> None:
        with self._lock:
            self.requests.append(request)
            if usage is None:
                self.totals.others += 1
                return
            self.totals.completions += 1
            self.totals.input += usage["prompt_tokens"]
            self.totals.cached += usage["prompt_tokens_details"]["cached_tokens"]
            self.totals.output += usage["completion_tokens"]

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _over_limit(self) -> Answer | None:
        calls, seconds = self.rules.limit
        if not calls:
            return None
        now = time.monotonic()
        if not self._window or now - self._window[0] >= seconds:
            self._window = [now]
            return None
        if len(self._window) < calls:
            self._window.append(now)
            return None
        return throttled(milliseconds=1 + int(1000 * (self._window[0] + seconds - now)))


class _Http(ThreadingHTTPServer):
    """Knows whose calls it hands on. It waits for no connection when it is closed, so each is cut instead."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], models: ModelServer) -> None:
        self.models = models
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = HANG_SECONDS
    disable_nagle_algorithm = True

    @property
    def models(self) -> ModelServer:
        assert isinstance(self.server, _Http)
        return self.server.models

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the base class calls it
        """Silent: tests read `requests`."""

    def do_GET(self) -> None:
        models, parts = self.models, urlsplit(self.path)
        match parts.path:
            case "/_requests":
                self._json(200, [asdict(request) for request in list(models.requests)])
            case "/_totals":
                self._json(200, asdict(models.totals))
            case "/msi/token" if self.headers.get("X-IDENTITY-HEADER") == "an-identity-header":
                self._json(200, models.issue(f"app service {_first(parts.query, 'resource')}"))
            case "/metadata/identity/oauth2/token" if self.headers.get("Metadata") == "true":
                self._json(200, models.issue(f"machine {_first(parts.query, 'resource')}"))
            case path if path.endswith("/.well-known/openid-configuration"):
                tenant = f"{models.url}{path.partition('/v2.0/')[0]}"
                names = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
                urls = {name: f"{tenant}/oauth2/v2.0/{last}" for name, last in names.items()}
                self._json(200, {**urls, "issuer": f"{tenant}/v2.0", "jwks_uri": f"{tenant}/keys"})
            case _:
                self._json(404, {"error": {"code": "404", "message": "Resource not found"}})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if self.models.closing.is_set():  # who is gone answers nobody, on no connection
            self.close_connection = True
            return
        if path == "/_answers":
            said = json.loads(content)
            self.models.answer(*(Answer(**answer) for answer in said.get("next", [])))
            self.models.always(Answer(**said["always"]) if said.get("always") else None)
            for words, answer in said.get("about", {}).items():
                self.models.answer_about(words, Answer(**answer))
            self._json(200, {})
        elif path.endswith("/oauth2/v2.0/token"):
            self._token(parse_qs(content.decode()))
        elif path.endswith("/chat/completions"):
            self._complete(path, json.loads(content))
        else:
            self._json(404, {"error": {"code": "404", "message": "Resource not found"}})

    def _token(self, form: Mapping[str, list[str]]) -> None:
        models = self.models
        assertion = form.get("client_assertion", [""])[0]
        if form.get("client_secret", [""])[0] == models.rules.client_secret or assertion == "a-federated-token":
            self._json(200, models.issue(f"{'federated' if assertion else 'secret'} {form['scope'][0]}"))
        else:
            description = "AADSTS7000215: Invalid client secret provided."
            self._json(401, {"error": "invalid_client", "error_description": description})

    def _complete(self, path: str, body: Mapping[str, Any]) -> None:
        models = self.models
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self._ruled_out(path, headers, body) or models.next_answer(_prompt(body))
        models.closing.wait(models.rules.latency + answer.before)
        said, usage = (answer.body.encode(), None) if answer.body is not None else self._completion(answer, body)
        told = None if answer.broken else usage
        models.record(Request(self.path, headers, body, answer.status, time.time()), told)
        self._say(answer, said)

    def _ruled_out(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Answer | None:
        models, rules = self.models, self.models.rules
        azure = path.startswith("/openai/")
        if not models.admits(headers, azure=azure):
            return refusing(401, "401", f"Access denied: invalid key or token {headers.get('api-key', '')[:8]}")
        old = path.removeprefix("/openai/deployments/").removesuffix("/chat/completions") if azure else ""
        versioned = "api-version" in parse_qs(urlsplit(self.path).query)
        if azure and path != "/openai/v1/chat/completions" and not (versioned and path.startswith("/openai/deploy")):
            return refusing(404, "404", "Resource not found")
        model = body.get("model", "") if path.endswith("/v1/chat/completions") else old
        if rules.models and model not in rules.models:
            return refusing(404, "DeploymentNotFound", "The API deployment for this resource does not exist.")
        for name in {"max_tokens", "max_completion_tokens"} - {rules.limit_name} if rules.limit_name else ():
            if name in body:
                message = f"Unsupported parameter: '{name}' is not supported. Use '{rules.limit_name}' instead."
                return refusing(400, "unsupported_parameter", message)
        return None

    def _completion(self, answer: Answer, body: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """Tokens are words here, for everybody can count them."""
        rules = self.models.rules
        prompt = _prompt(body)
        made = f"Summary {hashlib.sha256(prompt.encode()).hexdigest()[:12]} of {len(prompt)} characters."
        text, finish, thought = made if answer.text is None else answer.text, answer.finish, rules.thinking
        most = body.get("max_completion_tokens") or body.get("max_tokens") or sys.maxsize
        if thought >= most:
            text, finish, thought = "", "length", most
        usage = {
            "prompt_tokens": len(prompt.split()),
            "completion_tokens": len(text.split()) + thought,
            "total_tokens": len(prompt.split()) + len(text.split()) + thought,
            "prompt_tokens_details": {"cached_tokens": len(body["messages"][0]["content"].split())},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        choice = {
            "index": 0,
            "finish_reason": finish,
            "message": {"role": "assistant", "content": text or None},
            "content_filter_results": {name: {"filtered": True, "severity": "high"} for name in answer.caught},
        }
        said = {"id": "c", "object": "chat.completion", "model": body.get("model", "m"), "choices": [choice]}
        return json.dumps({**said, "usage": usage}).encode(), usage

    def _say(self, answer: Answer, body: bytes) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        self.models.closing.wait(answer.between)
        if answer.broken:
            self.close_connection = True
            return
        self.wfile.write(body[half:])

    def _json(self, status: int, value: object) -> None:
        self._say(Answer(status), json.dumps(value).encode())


def _prompt(body: Mapping[str, Any]) -> str:
    return "\n".join(message["content"] for message in body["messages"])


def _first(query: str, name: str) -> str:
    return parse_qs(query).get(name, [""])[0]


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="codestory.testing_models", description="A model endpoint for tests")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default=Rules.key)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    with ModelServer(Rules(key=chosen.key, latency=chosen.latency), port=chosen.port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
