"""Requests over connections that stay open. As little work as can be, so that it is the service that is measured."""

import asyncio
import json
from typing import Any


class Connection:
    """Opened at its first use, and again where the service has closed it, as it does with one that is idle."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """What the service answers. Raises where it refuses."""
        content = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Length: {len(content)}\r\n"
        kind = "Content-Type: application/json\r\n" if content else ""
        reader, writer = await self._open()
        writer.write(f"{head}{kind}\r\n".encode() + content)
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in headers if line)
        answer = await reader.readexactly(int(fields.get("content-length", 0)))
        if not status.split()[1].startswith("2"):
            raise RuntimeError(f"{method} {path}: {status}: {answer.decode()[:2000]}")
        return json.loads(answer)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        return self._streams

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None
