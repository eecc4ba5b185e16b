"""`/livez`, `/readyz` and `/metrics` of a process that serves no API, from a thread of its own.

Alive: the event loop comes round. Ready: what the process depends on answers."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import make_wsgi_app  # pyright: ignore[reportUnknownVariableType]  # its types are half there


class Probes:
    """Must be made where the event loop runs that it looks at. `unready` says why it is not ready; empty: it is.

    `seconds`: a loop that has not come round after so long is stuck."""

    def __init__(self, host: str, port: int, unready: Callable[[], Awaitable[str]], seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._unready, self._seconds = unready, seconds
        self._metrics: WSGIApplication = make_wsgi_app()
        self._server = make_server(host, port, self._answer, _Server, _Quiet)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""):
            case "GET", "/metrics":
                return self._metrics(environ, start_response)
            case "GET", "/livez":
                return _say(start_response, self._asked(_nothing))
            case "GET", "/readyz":
                return _say(start_response, self._asked(self._unready))
            case _:
                return _say(start_response, "there are /livez, /readyz and /metrics", HTTPStatus.NOT_FOUND)

    def _asked(self, what: Callable[[], Awaitable[str]]) -> str:
        async def ask() -> str:
            return await what()

        future = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        try:
            return future.result(self._seconds)
        except TimeoutError:
            future.cancel()
            return f"no answer within {self._seconds:g} s"


async def _nothing() -> str:
    return ""


def _say(
    start_response: StartResponse, problem: str, status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE
) -> list[bytes]:
    status = status if problem else HTTPStatus.OK
    body = {"status": "fail", "detail": problem} if problem else {"status": "pass"}
    start_response(f"{status} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    #: Seconds, of a connection that sends nothing.
    timeout = 5

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """A probe every few seconds is not worth a line."""
