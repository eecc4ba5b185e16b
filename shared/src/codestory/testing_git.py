"""A git server on loopback, for tests: smart HTTP by git's own `http-backend`, which can be told to hang or fail, to
speak TLS, and to want a password."""

import os
import ssl
import subprocess
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

HOST = "127.0.0.1"


class GitServer:
    """Serves the repositories below `directory`. `asked`: the requests so far, by method and path.

    `tls`: it speaks nothing else. `password`: `user:password`, which every request must bear."""

    def __init__(self, directory: Path, *, tls: ssl.SSLContext | None = None, password: str = "") -> None:
        self.directory = directory
        self.asked: list[str] = []
        #: While it is not set, whoever asks waits.
        self.answering = threading.Event()
        self.answering.set()
        #: So many of the next requests fail with 503.
        self.failing = 0
        #: What each request bore.
        self.borne: list[str] = []
        self._wanted = f"Basic {b64encode(password.encode()).decode()}" if password else ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.serve(self)

            do_POST = do_GET  # noqa: N815 - the base class's name

            def log_message(self, format: str, *_: Any) -> None: ...  # noqa: A002 - the base class's word

        self._http = ThreadingHTTPServer((HOST, 0), Handler)
        self._http.daemon_threads = True
        if tls:  # with each thread's own first read: who greets badly must not hold up the others
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://{HOST}:{self._http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answering.set()
        self._http.shutdown()
        self._http.server_close()

    def repository(self, path: str, files: dict[str, str]) -> Path:
        """A new one with these files in one commit on `main`; `<url>/<path>` is its address."""
        work = self.directory / path
        work.mkdir(parents=True)
        git(work, "init", "-q", "-b", "main")
        self.commit(path, files)
        return work

    def commit(self, path: str, files: dict[str, str]) -> str:
        work = self.directory / path
        for name, content in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(content)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", "change")
        return git(work, "rev-parse", "HEAD")

    def submodule(self, parent: str, path: str, url: str, commit: str) -> None:
        """One more of `parent`, committed as `git submodule add` would."""
        work = self.directory / parent
        for key, value in {"path": path, "url": url, "update": "!touch canary"}.items():
            git(work, "config", "-f", ".gitmodules", f"submodule.{path}.{key}", value)
        git(work, "add", ".gitmodules")
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        git(work, "commit", "-q", "-m", "submodule")

    def head(self, path: str) -> str:
        return git(self.directory / path, "rev-parse", "HEAD")

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        self.borne.append(request.headers.get("Authorization", ""))
        self.answering.wait()
        if self._wanted and self.borne[-1] != self._wanted:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="git"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if self.failing:
            self.failing -= 1
            request.send_error(503)
            return
        path, _, query = request.path.partition("?")
        environment = {
            "PATH": os.defpath,
            "GIT_PROJECT_ROOT": str(self.directory),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowReachableSHA1InWant",
            "GIT_CONFIG_VALUE_1": "true",
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=False
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = [line.decode().partition(": ")[::2] for line in head.split(b"\r\n") if line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        request.send_response(status)
        for name, value in headers:
            if name != "Status":
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def git(work: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    ran = subprocess.run(["git", "-C", str(work), *who, *arguments], check=True, capture_output=True, text=True)
    return ran.stdout.strip()
