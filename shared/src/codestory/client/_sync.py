"""The synchronous client. No event loop inside, so that it works in a notebook, a thread and a running loop alike."""

import time
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, Self, Unpack, overload

import httpx
from websockets.sync.client import connect

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


class Client:
    """Talks to a Code Story service.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     job = client.submit(repository="/srv/flask")
    ...     print(client.wait(job.id).state)

    `transport`: instead of the network; jobs are then watched by looking at them, not by WebSocket.
    """

    def __init__(
        self,
        url: str,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout: float = TIMEOUT,
        patience: Patience | None = None,
    ) -> None:
        self._address = Address(url)
        self._timeout = timeout
        self._patience = patience or Patience()
        self._streams = transport is None
        self._http = httpx.Client(
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

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def submit(self, request: SubmitJob) -> JobView: ...
    @overload
    def submit(self, **fields: Unpack[Submission]) -> JobView: ...
    def submit(self, request: SubmitJob | None = None, **fields: Any) -> JobView:
        """Start a job. Never sent twice: on ServiceUnreachable see the message whether it may have been taken."""
        return self._send(calls.submit(request, fields))

    def get(self, job_id: str) -> JobView:
        return self._send(calls.get(job_id))

    def jobs(self, limit: int = 50) -> tuple[JobView, ...]:
        """The newest jobs, newest first."""
        return self._send(calls.jobs(limit)).jobs

    def cancel(self, job_id: str) -> JobView:
        """Ask for the end of a job. It has ended when its state says so. Conflict if it has ended otherwise."""
        return self._send(calls.cancel(job_id))

    def stop(self, job_id: str) -> JobView:
        """Ask a job to halt and keep what is done; `resume` goes on from there. STOPPED once its state says so."""
        return self._send(calls.stop(job_id))

    def resume(self, job_id: str) -> JobView:
        """Let a stopped job go on with what did not complete."""
        return self._send(calls.resume(job_id))

    @overload
    def retry(self, job_id: str, request: RetryJob) -> JobView: ...
    @overload
    def retry(self, job_id: str, **fields: Unpack[Again]) -> JobView: ...
    def retry(self, job_id: str, request: RetryJob | None = None, **fields: Any) -> JobView:
        """Run a job again that failed, was stopped or was cancelled: what did not complete, or `from_step` on."""
        return self._send(calls.retry(job_id, request, fields))

    def change(self, job_id: str, *, priority: Priority | str) -> JobView:
        """Change a job that has not ended."""
        return self._send(calls.change(job_id, {"priority": priority}))

    def why(self, job_id: str) -> Why:
        """Why a job does not go on, in words and as data."""
        return self._send(calls.why(job_id))

    def step(self, job_id: str, name: str) -> StepView:
        """One step of a job: its attempts with times, reasons and workers, its options, what it used."""
        return self._send(calls.step(job_id, name))

    def resource_status(self) -> ResourceStatus:
        return self._send(calls.resource_status())

    def set_max_tokens(self, max_tokens: int) -> ResourceStatus:
        """How many steps may be admitted at once, over all jobs. Nothing that runs is ended by it."""
        return self._send(calls.set_max_tokens(max_tokens))

    def holders(self) -> Holders:
        """Who holds each token, the longest first; and how the limited tags stand."""
        return self._send(calls.holders())

    def resource_limits(self) -> tuple[TagStatus, ...]:
        return self._send(calls.resource_limits()).root

    def set_resource_limits(self, limits: Mapping[str, int | None]) -> tuple[TagStatus, ...]:
        """How many admitted steps may hold each tag at once. Not named: unchanged; None: as the pipeline file says."""
        return self._send(calls.set_resource_limits(limits)).root

    def steps(self) -> tuple[StepStatus, ...]:
        return self._send(calls.steps()).steps

    def set_concurrency(self, step: str, concurrency: int) -> StepStatus:
        """How many runs of a step there may be at once, over all its replicas."""
        return self._send(calls.set_concurrency(step, concurrency))

    @overload
    def create_schedule(self, request: CreateSchedule) -> Schedule: ...
    @overload
    def create_schedule(self, **fields: Unpack[Recurring]) -> Schedule: ...
    def create_schedule(self, request: CreateSchedule | None = None, **fields: Any) -> Schedule:
        """A job again and again, at each time that `cron` names. Never sent twice, as `submit`."""
        return self._send(calls.create_schedule(request, fields))

    def schedules(self) -> tuple[Schedule, ...]:
        return self._send(calls.schedules()).schedules

    def schedule(self, schedule_id: str) -> Schedule:
        return self._send(calls.schedule(schedule_id))

    def change_schedule(self, schedule_id: str, **changes: Unpack[ScheduleChanges]) -> Schedule:
        """Pause a schedule, let it go on, or give it other times."""
        return self._send(calls.change_schedule(schedule_id, changes))

    def delete_schedule(self, schedule_id: str) -> None:
        """Its jobs stay."""
        self._send(calls.delete_schedule(schedule_id))

    def health(self) -> Health:
        return self._send(calls.health())

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """The job as it ended. StillRunning when it has not after `timeout` seconds."""
        for message in self._watch(job_id, timeout):
            if message.kind == "ended" and message.job:
                return message.job
        return self.get(job_id)

    def watch(self, job_id: str) -> Generator[StatusMessage]:
        """What happens to a job, until it ends; the last message is of kind `ended`.

        Survives restarts of the service. After a break the first message is the whole job again.
        """
        return self._watch(job_id, None)

    def _watch(self, job_id: str, timeout: float | None) -> Generator[StatusMessage]:
        watch = Watch(self._patience, streams=self._streams, now=time.monotonic(), timeout=timeout)
        while True:
            if watch.listens:
                yield from self._listen(job_id, watch)
            if not watch.ended:
                yield from self._look(job_id, watch)
            if watch.ended:
                return
            time.sleep(watch.pause(time.monotonic()))

    def _listen(self, job_id: str, watch: Watch) -> Generator[StatusMessage]:
        watch.opened(time.monotonic())
        try:
            with connect(
                self._address.status_feed(job_id),
                open_timeout=self._timeout,
                close_timeout=CLOSE_SECONDS,
                max_size=MAX_FRAME_BYTES,
                proxy=None if self._address.loopback else True,
            ) as feed:
                while not watch.ended:
                    frame = feed.recv(timeout=watch.listen_for(time.monotonic()))
                    if message := watch.heard(frame, time.monotonic()):
                        yield message
        except STREAM_LOST:
            watch.lost(time.monotonic())

    def _look(self, job_id: str, watch: Watch) -> Generator[StatusMessage]:
        try:
            job = self.get(job_id)
        except (ServiceUnreachable, Unavailable):
            if watch.away(time.monotonic()):
                raise
        else:
            yield watch.looked(job, time.monotonic())

    def _send(self, call: Call[Answer]) -> Answer:
        failures = 0
        while True:
            failures += 1
            try:
                response = self._http.request(
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
            time.sleep(wait)
