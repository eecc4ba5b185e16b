"""Writes the graph in a process of its own, as a step does: one job a line on stdin, one outcome a line on stdout.

A job that is to be killed runs in a fork, so that dozens of kills do not cost dozens of starts of Python."""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

from neo4j import AsyncDriver

from codestory.graph import Fence, GraphError, GraphSettings, GraphWriter, Node, Relationship, connect, schema

Job = dict[str, Any]
Outcome = dict[str, Any]


def main() -> None:
    logging.getLogger("neo4j").setLevel(logging.ERROR)  # it tells of every deadlock, and they are what is tried here
    if sys.argv[1:] == ["--fork"]:
        for line in sys.stdin:
            print(json.dumps(_forked(json.loads(line))), flush=True)
    else:
        asyncio.run(_serve())


async def _serve() -> None:
    """One driver for all jobs of one server."""
    drivers: dict[str, AsyncDriver] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        job = json.loads(line)
        settings = GraphSettings(**job["settings"])
        driver = drivers.setdefault(settings.neo4j_uri, connect(settings))
        print(json.dumps({"code": 0, **await _work(driver, settings, job)}), flush=True)
    for driver in drivers.values():
        await driver.close()


def _forked(job: Job) -> Outcome:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.write(write, json.dumps(asyncio.run(_connected(job))).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        told = stream.read()
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), **json.loads(told or b"{}")}


async def _connected(job: Job) -> Outcome:
    settings = GraphSettings(**job["settings"])
    async with connect(settings) as driver:
        if job["kill_after_seconds"] is not None:
            await driver.verify_connectivity()
            threading.Timer(job["kill_after_seconds"], os.kill, (os.getpid(), signal.SIGKILL)).start()
        return await _work(driver, settings, job)


async def _work(driver: AsyncDriver, settings: GraphSettings, job: Job) -> Outcome:
    await asyncio.sleep(job["delay_seconds"])
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
        later=tuple(job["later"]),
    )
    try:
        return await _asked(writer, job)
    except GraphError as error:
        return {"error": type(error).__name__, "message": str(error)}


async def _asked(writer: GraphWriter, job: Job) -> Outcome:
    if job["reserve"]:
        budget = writer.budget(job["reserve"]["name"])
        waits = [await budget.reserve({"requests": 1}, job["reserve"]["per_minute"]) for _ in range(10)]
        return {"waits": waits}
    stop = _killer(job["kill_after_transactions"])
    for nodes, relationships in job["puts"]:
        await writer.put([Node(*node) for node in nodes], [Relationship(*edge) for edge in relationships])
        stop(0, 0)
    if job["puts"]:
        return {}
    nodes = [Node(*node) for node in job["nodes"]]
    relationships = [Relationship(*relationship) for relationship in job["relationships"]]
    return {"written": await writer.replace(nodes, relationships, shrink_limit=1, progress=stop)}


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
