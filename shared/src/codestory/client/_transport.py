"""What both clients share about the wire: addresses, patience, and how an answer is read."""

import ipaddress
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib import metadata

import httpx
from pydantic import ValidationError
from websockets.exceptions import WebSocketException

from codestory.client._calls import Answer, Call, known
from codestory.client._errors import (
    BadAddress,
    CodeStoryError,
    ServiceUnreachable,
    UnexpectedAnswer,
    problem_error,
)
from codestory.contracts.api import Problem

#: Seconds for one request.
TIMEOUT = 10.0
#: The code of the problem "more was asked for in a short time than you may".
RATE_LIMITED = "rate_limited"
#: A job's view with every attempt's last lines in it can be several MB.
MAX_FRAME_BYTES = 16 * 2**20
#: Seconds for the closing handshake of a WebSocket that nobody needs any more.
CLOSE_SECONDS = 1.0
#: How a WebSocket ends or fails to begin. TimeoutError (nothing heard) is an OSError.
STREAM_LOST = (OSError, EOFError, WebSocketException)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client tries, in seconds.

    `retries`: of requests that only ask, or that change nothing more the second time; and of any that a rate limit
    refused. `silence`: without a message for
    so long, a WebSocket is taken for dead (the service says something every 15). `give_up_after`: without any contact
    for so long, watching ends with an error. `poll_interval`: between two looks at a job where no WebSocket can be had.
    `longest_wait`: a service that asks for more by `Retry-After` is not waited for.
    """

    retries: int = 3
    back_off: float = 0.2
    max_back_off: float = 5.0
    longest_wait: float = 30.0
    poll_interval: float = 1.0
    silence: float = 45.0
    give_up_after: float = 120.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row. Spread, so that clients do not come back all at once."""
        longest = min(self.back_off * 2 ** min(failures - 1, 16), self.max_back_off)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret

    def before_retry(self, call: Call[Answer], failures: int, response: httpx.Response | None = None) -> float | None:
        """Seconds until the call may be sent again, or None if it must not be.

        What was refused by a rate limit was not begun, so that it may be sent again whatever it asks for."""
        if failures > self.retries:
            return None
        if response is None:
            return self.pause(failures) if call.again else None
        busy = call.again and response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        if not busy and not _rate_limited(response):
            return None
        wait = _retry_after(response)
        return None if wait is None or wait > self.longest_wait else max(wait, self.pause(failures))


class Address:
    """Where a service is, over HTTP and as WebSocket."""

    def __init__(self, url: str) -> None:
        try:
            self.http = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise BadAddress(f"{url!a} is not an address: {error}") from error
        if self.http.scheme not in {"http", "https"} or not self.http.host:
            raise BadAddress(f"{url!a} is not the address of a service: it must look like http://host:port.")

    def __str__(self) -> str:
        return str(self.http.copy_with(userinfo=b""))

    @property
    def secure(self) -> bool:
        """Without TLS there is no certificate to verify, and no need to read the system's, which takes 0.1 s."""
        return self.http.scheme == "https"

    @property
    def loopback(self) -> bool:
        """Proxies from the environment are not for these."""
        host = self.http.host
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def status_feed(self, job_id: str) -> str:
        scheme = "wss" if self.secure else "ws"
        path = f"{self.http.path.rstrip('/')}/ws/status/{known(job_id)}"
        return str(self.http.copy_with(scheme=scheme, path=path))


def headers() -> dict[str, str]:
    return {"Accept": "application/json", "User-Agent": f"codestory/{metadata.version('codestory')}"}


def content_headers(call: Call[Answer]) -> dict[str, str]:
    """The service takes JSON only, even where there is no body: a foreign web page cannot send that."""
    return {**({} if call.asks else {"Content-Type": "application/json"}), **call.headers}


def unreachable(address: Address, call: Call[Answer], error: Exception) -> CodeStoryError:
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    detail = f"No Code Story service answers at {address} ({said})."
    if not call.asks and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        then = (
            "to send it again changes nothing more" if call.again else "look at what is there before you send it again"
        )
        detail += f" It may have taken the request all the same: {then}."
    return ServiceUnreachable(detail)


def read(address: Address, call: Call[Answer], response: httpx.Response) -> Answer:
    """What the service answered, or the error that it states."""
    if response.is_success:
        if call.media_type and response.headers.get("Content-Type", "").partition(";")[0] == call.media_type:
            return call.answer.model_construct(content=response.content)
        try:
            return call.answer.model_validate_json(response.content or b"{}")
        except ValidationError as error:
            raise UnexpectedAnswer(f"{address} does not answer like a Code Story service of this version.") from error
    if response.is_error:
        if call.report and (report := _reported(call, response)) is not None:
            return report
        raise problem_error(_problem(response), _retry_after(response))
    raise UnexpectedAnswer(f"{address} answered {response.status_code} to {call.method} /{call.path}.")


def _problem(response: httpx.Response) -> Problem:
    """The problem that the service states; what is between us and the service (a proxy) states none."""
    try:
        return Problem.model_validate_json(response.content).model_copy(update={"status": response.status_code})
    except ValidationError:
        title = f"{response.status_code} {response.reason_phrase}".strip()
        return Problem(title=title, status=response.status_code, detail=f"{response.url.host} answered {title}.")


def _reported(call: Call[Answer], response: httpx.Response) -> Answer | None:
    """The answer that a problem brings along."""
    try:
        return call.answer.model_validate(response.json()[call.report])
    except (ValueError, KeyError, TypeError):  # ValidationError and JSONDecodeError are ValueErrors
        return None


def _rate_limited(response: httpx.Response) -> bool:
    return response.status_code == HTTPStatus.TOO_MANY_REQUESTS and _problem(response).code == RATE_LIMITED


def _retry_after(response: httpx.Response) -> float | None:
    """`Retry-After` in seconds. The service says a number; what is between us and it may say a date."""
    text: str = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
