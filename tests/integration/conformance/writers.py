"""Writes the graph from processes of their own, as steps do: forks one for each job it reads from stdin.

    {"jobs": [{"uri": …, "repository": …, "nodes": …}, …]}  →  {"outcomes": [{"code": 0, "written": {…}}, …]}

The jobs of one line run at once. It forks, so that a hundred writers do not cost a hundred starts of Python."""

import asyncio
import json
import os
import signal
import sys
import threading
from typing import Any

from codestory.graph import Fence, GraphError, GraphSettings, GraphWriter, Node, Relationship, connect, schema

Job = dict[str, Any]


def main() -> None:
    for line in sys.stdin:
        children = [_fork(job) for job in json.loads(line)["jobs"]]
        print(json.dumps({"outcomes": [_outcome(*child) for child in children]}), flush=True)


def _fork(job: Job) -> tuple[int, int]:
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    code = 1
    try:
        os.write(write, json.dumps(asyncio.run(_work(job))).encode())
        code = 0
    finally:
        os._exit(code)


def _outcome(pid: int, pipe: int) -> dict[str, Any]:
    with os.fdopen(pipe, "rb") as stream:
        told = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {"code": code, **json.loads(told or b"{}")}


async def _work(job: Job) -> dict[str, Any]:
    settings = GraphSettings(**job["settings"])
    if job["kill_after_seconds"] is not None:
        threading.Timer(job["kill_after_seconds"], os.kill, (os.getpid(), signal.SIGKILL)).start()
    await asyncio.sleep(job["delay_seconds"])
    async with connect(settings) as driver:
        if job["ensure"]:
            await schema.ensure(driver, settings, job["labels"])
            return {}
        writer = GraphWriter(
            driver,
            settings,
            repository=job["repository"],
            owner=job["owner"],
            fence=Fence(*job["fence"]),
            labels=tuple(job["labels"]),
        )
        nodes = [Node(*node) for node in job["nodes"]]
        relationships = [Relationship(*relationship) for relationship in job["relationships"]]
        progress = _killer(job["kill_after_transactions"])
        try:
            return {"written": await writer.replace(nodes, relationships, shrink_limit=1, progress=progress)}
        except GraphError as error:
            return {"error": type(error).__name__, "message": str(error)}


def _killer(after: int | None) -> Any:
    seen = 0

    def progress(_done: int, _total: int) -> None:
        nonlocal seen
        seen += 1
        if seen == after:
            os.kill(os.getpid(), signal.SIGKILL)

    return progress


if __name__ == "__main__":
    main()
