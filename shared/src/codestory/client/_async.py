"""The asynchronous client."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, Unpack, overload

import httpx
from websockets.asyncio.client import connect

from codestory.client import _calls as calls
from codestory.client._calls import Again, Answer, Call, Recurring, ScheduleChanges, Submission
from codestory.client._errors import ServiceUnreachable, Unavailable
from codestory.client._transport import (
    CLOSE_SECONDS,
    MAX_FRAME_BYTES,
    STREAM_LOST,
    TIMEOUT,
    Address,
    Patience,
    content_headers,
    headers,
    read,
    unreachable,
)
from codestory.client._watch import Watch
from codestory.contracts.api import (
    Health,
    Holders,
    JobView,
    ResourceStatus,
    RetryJob,
    StatusMessage,
    StepStatus,
    StepView,
    SubmitJob,
    TagStatus,
    Why,
)
from codestory.contracts.schedules import CreateSchedule, Schedule
from codestory.contracts.values import Priority


class AsyncClient:
    """Talks to a Code Story service.

    >>> async with AsyncClient("http://127.0.0.1:8000") as client:
    ...     job = await client.submit(repository="/srv/flask")
    ...     print((await client.wait(job.id)).state)

    `transport`: instead of the network (`httpx.ASGITransport(app)` talks to an application in this process); jobs are
    then watched by looking at them, not by WebSocket.
    """

    def __init__(
        self,
        url: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = TIMEOUT,
        patience: Patience | None = None,
    ) -> None:
        self._address = Address(url)
        self._timeout = timeout
        self._patience = patience or Patience()
        self._streams = transport is None
        self._http = httpx.AsyncClient(
            base_url=self._address.http,
            headers=headers(),
            timeout=timeout,
            transport=transport,
            trust_env=not self._address.loopback,
            verify=self._address.secure,
        )

    @property
    def url(self) -> str:
        return str(self._address)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    async def submit(self, request: SubmitJob) -> JobView: ...
    @overload
    async def submit(self, **fields: Unpack[Submission]) -> JobView: ...
    async def submit(self, request: SubmitJob | None = None, **fields: Any) -> JobView:
        """Start a job. Never sent twice: on ServiceUnreachable see the message whether it may have been taken."""
        return await self._send(calls.submit(request, fields))

    async def get(self, job_id: str) -> JobView:
        return await self._send(calls.get(job_id))

    async def jobs(self, limit: int = 50) -> tuple[JobView, ...]:
        """The newest jobs, newest first."""
        return (await self._send(calls.jobs(limit))).jobs

    async def cancel(self, job_id: str) -> JobView:
        """Ask for the end of a job. It has ended when its state says so. Conflict if it has ended otherwise."""
        return await self._send(calls.cancel(job_id))

    async def stop(self, job_id: str) -> JobView:
        """Ask a job to halt and keep what is done; `resume` goes on from there. STOPPED once its state says so."""
        return await self._send(calls.stop(job_id))

    async def resume(self, job_id: str) -> JobView:
        """Let a stopped job go on with what did not complete."""
        return await self._send(calls.resume(job_id))

    @overload
    async def retry(self, job_id: str, request: RetryJob) -> JobView: ...
    @overload
    async def retry(self, job_id: str, **fields: Unpack[Again]) -> JobView: ...
    async def retry(self, job_id: str, request: RetryJob | None = None, **fields: Any) -> JobView:
        """Run a job again that failed, was stopped or was cancelled: what did not complete, or `from_step` on."""
        return await self._send(calls.retry(job_id, request, fields))

    async def change(self, job_id: str, *, priority: Priority | str) -> JobView:
        """Change a job that has not ended."""
        return await self._send(calls.change(job_id, {"priority": priority}))

    async def why(self, job_id: str) -> Why:
        """Why a job does not go on, in words and as data."""
        return await self._send(calls.why(job_id))

    async def step(self, job_id: str, name: str) -> StepView:
        """One step of a job: its attempts with times, reasons and workers, its options, what it used."""
        return await self._send(calls.step(job_id, name))

    async def resource_status(self) -> ResourceStatus:
        return await self._send(calls.resource_status())

    async def set_max_tokens(self, max_tokens: int) -> ResourceStatus:
        """How many steps may be admitted at once, over all jobs. Nothing that runs is ended by it."""
        return await self._send(calls.set_max_tokens(max_tokens))

    async def holders(self) -> Holders:
        """Who holds each token, the longest first; and how the limited tags stand."""
        return await self._send(calls.holders())

    async def resource_limits(self) -> tuple[TagStatus, ...]:
        return (await self._send(calls.resource_limits())).root

    async def set_resource_limits(self, limits: Mapping[str, int | None]) -> tuple[TagStatus, ...]:
        """How many admitted steps may hold each tag at once. Not named: unchanged; None: as the pipeline file says."""
        return (await self._send(calls.set_resource_limits(limits))).root

    async def steps(self) -> tuple[StepStatus, ...]:
        return (await self._send(calls.steps())).steps

    async def set_concurrency(self, step: str, concurrency: int) -> StepStatus:
        """How many runs of a step there may be at once, over all its replicas."""
        return await self._send(calls.set_concurrency(step, concurrency))

    @overload
    async def create_schedule(self, request: CreateSchedule) -> Schedule: ...
    @overload
    async def create_schedule(self, **fields: Unpack[Recurring]) -> Schedule: ...
    async def create_schedule(self, request: CreateSchedule | None = None, **fields: Any) -> Schedule:
        """A job again and again, at each time that `cron` names. Never sent twice, as `submit`."""
        return await self._send(calls.create_schedule(request, fields))

    async def schedules(self) -> tuple[Schedule, ...]:
        return (await self._send(calls.schedules())).schedules

    async def schedule(self, schedule_id: str) -> Schedule:
        return await self._send(calls.schedule(schedule_id))

    async def change_schedule(self, schedule_id: str, **changes: Unpack[ScheduleChanges]) -> Schedule:
        """Pause a schedule, let it go on, or give it other times."""
        return await self._send(calls.change_schedule(schedule_id, changes))

    async def delete_schedule(self, schedule_id: str) -> None:
        """Its jobs stay."""
        await self._send(calls.delete_schedule(schedule_id))

    async def health(self) -> Health:
        return await self._send(calls.health())

    async def wait(self, job_id: str, timeout: float | None = None) -> JobView:  # noqa: ASYNC109 - as the sync one
        """The job as it ended. StillRunning when it has not after `timeout` seconds."""
        async with aclosing(self._watch(job_id, timeout)) as messages:
            async for message in messages:
                if message.kind == "ended" and message.job:
                    return message.job
        return await self.get(job_id)

    def watch(self, job_id: str) -> AsyncGenerator[StatusMessage]:
        """What happens to a job, until it ends; the last message is of kind `ended`.

        Survives restarts of the service. After a break the first message is the whole job again.
        """
        return self._watch(job_id, None)

    async def _watch(self, job_id: str, timeout: float | None) -> AsyncGenerator[StatusMessage]:  # noqa: ASYNC109
        watch = Watch(self._patience, streams=self._streams, now=time.monotonic(), timeout=timeout)
        while True:
            if watch.listens:
                async with aclosing(self._listen(job_id, watch)) as messages:
                    async for message in messages:
                        yield message
            if not watch.ended and (message := await self._look(job_id, watch)):
                yield message
            if watch.ended:
                return
            await asyncio.sleep(watch.pause(time.monotonic()))

    async def _listen(self, job_id: str, watch: Watch) -> AsyncGenerator[StatusMessage]:
        watch.opened(time.monotonic())
        try:
            async with connect(
                self._address.status_feed(job_id),
                open_timeout=self._timeout,
                close_timeout=CLOSE_SECONDS,
                max_size=MAX_FRAME_BYTES,
                proxy=None if self._address.loopback else True,
            ) as feed:
                while not watch.ended:
                    frame = await asyncio.wait_for(feed.recv(), watch.listen_for(time.monotonic()))
                    if message := watch.heard(frame, time.monotonic()):
                        yield message
        except STREAM_LOST:
            watch.lost(time.monotonic())

    async def _look(self, job_id: str, watch: Watch) -> StatusMessage | None:
        try:
            job = await self.get(job_id)
        except (ServiceUnreachable, Unavailable):
            if watch.away(time.monotonic()):
                raise
            return None
        return watch.looked(job, time.monotonic())

    async def _send(self, call: Call[Answer]) -> Answer:
        failures = 0
        while True:
            failures += 1
            try:
                response = await self._http.request(
                    call.method, call.path, params=call.query, content=call.body, headers=content_headers(call)
                )
            except httpx.TransportError as error:
                wait = self._patience.before_retry(call, failures)
                if wait is None:
                    raise unreachable(self._address, call, error) from error
            else:
                wait = self._patience.before_retry(call, failures, response)
                if wait is None:
                    return read(self._address, call, response)
            await asyncio.sleep(wait)
