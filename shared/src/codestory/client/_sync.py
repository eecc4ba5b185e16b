"""The synchronous client. No event loop inside, so that it works in a notebook, a thread and a running loop alike."""

import time
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack, overload

import httpx
from websockets.sync.client import connect

from codestory.client import _calls as calls
from codestory.client import _repositories
from codestory.client._access import Token, credentials
from codestory.client._calls import Again, Answer, Call, Filters, Recurring, ScheduleChanges, Submission
from codestory.client._errors import NotFound, ProblemError, ServiceUnreachable, StillRunning, Unavailable
from codestory.client._history import Following, Item, Pages, Wire, follow_sync
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
from codestory.client._upload import OnProgress, Upload
from codestory.client._watch import Watch
from codestory.contracts.api import (
    Health,
    Holders,
    JobList,
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
from codestory.contracts.history import JobEvent, LogLine
from codestory.contracts.listing import BulkResult, Sort
from codestory.contracts.planning import PlanView
from codestory.contracts.repositories import RepositoryView
from codestory.contracts.schedules import CreateSchedule, Schedule
from codestory.contracts.traces import Trace
from codestory.contracts.values import Priority


class Client:
    """Talks to a Code Story service.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     job = client.submit(repository="/srv/flask")
    ...     print(client.wait(job.id).state)

    `api_key`, or `token` (of Entra ID, say: itself, or what gives one that is good now): who we are; otherwise
    CODESTORY_API_KEY or CODESTORY_API_KEY_FILE say it, where the service wants to know.
    `transport`: instead of the network; jobs are then watched by looking at them, not by WebSocket.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: Token | None = None,
        transport: httpx.BaseTransport | None = None,
        timeout: float = TIMEOUT,
        patience: Patience | None = None,
    ) -> None:
        self._address = Address(url)
        self._timeout = timeout
        self._patience = patience or Patience()
        self._streams = transport is None
        self._who = credentials(api_key, token)
        self._http = httpx.Client(
            base_url=self._address.http,
            headers=headers(),
            auth=self._who,
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
    def submit(self, request: SubmitJob, *, idempotency_key: str | None = None) -> JobView: ...
    @overload
    def submit(self, *, idempotency_key: str | None = None, **fields: Unpack[Submission]) -> JobView: ...
    def submit(self, request: SubmitJob | None = None, *, idempotency_key: str | None = None, **fields: Any) -> JobView:
        """Start a job. One job, though it is sent again when an answer is lost: it bears a key.

        `idempotency_key`: of your own, so that you too may call this again, for a day, and get the same job."""
        return self._send(calls.submit(request, fields, idempotency_key))

    def upload(self, path: str | Path, *, name: str | None = None, on_progress: OnProgress | None = None) -> str:
        """Pack the folder's files that are not ignored and send what the service does not have. What `submit` takes as
        `repository`: `snapshot:<id>`.

        Broken off, it goes on where it was when it is begun again. RepositoryUnreadable if there is nothing to send.
        """
        upload = Upload(Path(path), name)
        call = upload.next()
        while call:
            try:
                answer = self._send(call)
            except ProblemError as error:
                if not upload.expected(error):
                    raise
                answer = error
            call = upload.next(answer)
            if on_progress:
                on_progress(upload.progress)
        return upload.snapshot

    @overload
    def plan(self, request: SubmitJob) -> PlanView: ...
    @overload
    def plan(self, **fields: Unpack[Submission]) -> PlanView: ...
    def plan(self, request: SubmitJob | None = None, **fields: Any) -> PlanView:
        """What `submit` would do with the same: steps, options, files, time, and what would keep it waiting."""
        return self._send(calls.plan(request, fields))

    def get(self, job_id: str) -> JobView:
        return self._send(calls.get(job_id))

    def jobs(
        self, limit: int = 50, *, sort: Sort | str = Sort.NEWEST, **filters: Unpack[Filters]
    ) -> tuple[JobView, ...]:
        """At most 200 jobs that the filters let through, the newest first. `iter_jobs` gives all."""
        return self._send(calls.jobs(limit, filters, sort=sort)).jobs

    def job_page(
        self,
        limit: int = 50,
        *,
        cursor: str | None = None,
        sort: Sort | str = Sort.NEWEST,
        **filters: Unpack[Filters],
    ) -> JobList:
        """As `jobs`, with `next`: the `cursor` of the page behind it, for the same filters and order."""
        return self._send(calls.jobs(limit, filters, sort=sort, cursor=cursor))

    def iter_jobs(
        self, *, page: int = 200, sort: Sort | str = Sort.NEWEST, **filters: Unpack[Filters]
    ) -> Iterator[JobView]:
        """Every job that the filters let through, `page` at a time. Jobs that come meanwhile hide and repeat none."""
        cursor: str | None = None
        while True:
            listed = self.job_page(page, cursor=cursor, sort=sort, **filters)
            yield from listed.jobs
            cursor = listed.next
            if cursor is None:
                return

    def cancel_all(
        self,
        *,
        all: bool = False,  # noqa: A002 - the API's word
        limit: int = 200,
        dry_run: bool = False,
        **filters: Unpack[Filters],
    ) -> BulkResult:
        """Cancel the jobs that the filters let through, the newest first. Without a filter: only with `all=True`."""
        return self._send(calls.cancel_all(filters, all=all, limit=limit, dry_run=dry_run))

    def stop_all(
        self,
        *,
        all: bool = False,  # noqa: A002 - the API's word
        limit: int = 200,
        dry_run: bool = False,
        **filters: Unpack[Filters],
    ) -> BulkResult:
        """Stop the jobs that the filters let through, to be resumed. Without a filter: only with `all=True`."""
        return self._send(calls.stop_all(filters, all=all, limit=limit, dry_run=dry_run))

    def retry_all(
        self,
        *,
        again: Again | None = None,
        all: bool = False,  # noqa: A002 - the API's word
        limit: int = 200,
        dry_run: bool = False,
        **filters: Unpack[Filters],
    ) -> BulkResult:
        """Run the jobs again that the filters let through and that did not complete. `again`: as in `retry`."""
        return self._send(calls.retry_all(filters, **(again or {}), all=all, limit=limit, dry_run=dry_run))

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
    def create_schedule(self, request: CreateSchedule, *, idempotency_key: str | None = None) -> Schedule: ...
    @overload
    def create_schedule(self, *, idempotency_key: str | None = None, **fields: Unpack[Recurring]) -> Schedule: ...
    def create_schedule(
        self, request: CreateSchedule | None = None, *, idempotency_key: str | None = None, **fields: Any
    ) -> Schedule:
        """A job again and again, at each time that `cron` names. One schedule, as `submit` makes one job."""
        return self._send(calls.create_schedule(request, fields, idempotency_key))

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

    def repositories(self, name: str = "") -> tuple[RepositoryView, ...]:
        """Those whose name begins so, by name: in the graph, or known by a job on them."""
        found: list[RepositoryView] = []
        cursor: str | None = None
        while True:
            page = self._send(_repositories.page(name, cursor))
            found += page.repositories
            cursor = page.next
            if cursor is None:
                return tuple(found)

    def repository(self, repository: str) -> RepositoryView:
        """By id, or by name; with how many nodes the graph has of it."""
        return self._send(_repositories.show(repository))

    def delete_repository(self, repository: str, *, wait: bool = True, timeout: float | None = None) -> RepositoryView:
        """Take it out of the graph, with all that any step has written of it; as it was when this was asked.

        Conflict while a job on it has not ended. `wait`: until it is gone; StillRunning after `timeout` seconds."""
        found = self._send(_repositories.delete(repository))
        until = None if timeout is None else time.monotonic() + timeout
        while wait and self._deletes(found):
            if until is not None and time.monotonic() >= until:
                raise StillRunning(f"{found.name} is still being deleted.")
            time.sleep(_repositories.LOOK_SECONDS)
        return found

    def _deletes(self, asked: RepositoryView) -> bool:
        """This very deletion goes on; not another one, of what has come since."""
        try:
            present = self._send(_repositories.show(asked.id))
        except NotFound:
            return False
        since = asked.deletion.since if asked.deletion else None
        return present.deletion is not None and since in {None, present.deletion.since}

    def health(self) -> Health:
        """How the service is, and what it depends on; also when that is not well (`status="fail"`)."""
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
                additional_headers=self._who.headers() if self._who else None,
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

    def events(self, job_id: str, from_seq: int = 0, *, follow: bool = True) -> Generator[JobEvent]:
        """What happened to a job and its steps from there on, then what happens, each once, until it has ended. Without
        `follow`: what is there now.

        Survives restarts of the service. Forgotten: of what came since the last one something is not kept any more.
        """
        following = Following(
            partial(calls.events, job_id),
            lambda page: page.events,
            JobEvent,
            start=from_seq,
            follow=follow,
            streams=self._streams,
            patience=self._patience,
            now=time.monotonic(),
        )
        return self._follow(job_id, following)

    def trace(self, job_id: str) -> Trace:
        """Where its time went: spans, one trace of the submission and one of each attempt, linked to it."""
        return self._send(calls.trace(job_id))

    def bundle(self, job_id: str) -> bytes:
        """All that is known of a job, for whoever helps with it: a zip file, secrets left out. README.md in it says
        what it holds, and what it does not."""
        return (self._send(calls.bundle(job_id))).content

    def logs(
        self, job_id: str, step: str | None = None, *, from_seq: int = 0, follow: bool = False
    ) -> Generator[LogLine]:
        """What the steps of a job wrote, or one of them. With `follow` also what they write, as `events`."""
        following = Following(
            partial(calls.logs, job_id, step),
            lambda page: page.lines,
            LogLine,
            start=from_seq,
            follow=follow,
            streams=self._streams,
            patience=self._patience,
            now=time.monotonic(),
        )
        return self._follow(job_id, following)

    def _follow(self, job_id: str, following: Following[Pages, Item]) -> Generator[Item]:
        wire = Wire(self._address, self._patience, self._timeout)
        look = partial(self.get, job_id)
        return follow_sync(self._http, following, send=self._send, look=look, wire=wire)

    def _send(self, call: Call[Answer]) -> Answer:
        failures = 0
        while True:
            failures += 1
            try:
                response = self._http.request(
                    call.method,
                    call.path,
                    params=call.query,
                    content=call.body,
                    headers=content_headers(call),
                    timeout=max(self._timeout, call.seconds),
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
