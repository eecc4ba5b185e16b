"""What the orchestrator refuses, and the HTTP status and stable code of each refusal, stated once.

IngestionError
├── ConditionMalformed   400
├── JobNotFound          404
├── ScheduleNotFound     404
├── StepNotFound         404
├── StepNotOffered       404
├── RepositoryNotFound   404
├── SnapshotNotFound     404
├── JobConflict          409
├── NameTaken            409
├── RepositoryBusy       409
├── PartsMissing         409
├── EventsGone           410
├── Forgotten            410
├── ChangedMeanwhile     412
├── Unauthenticated      401
├── RoleMissing          403
├── OutsideRoots         403
├── RepositoryRefused    422
├── PipelineInvalid      422
├── UnknownStep          422
├── UnknownOption        422
├── InvalidOption        422
├── OptionsTooLarge      422
├── UnknownJob           422
├── UnknownSnapshot      422
├── HashMismatch         422
├── ManifestInvalid      422
├── ScheduleInvalid      422
├── CursorInvalid        422
├── InvalidRequest       422
├── AnswerTooLarge       422
├── ContentTooLarge      413
├── KeyReused            422
├── Throttled            429
├── RateLimited          429
├── QuotaExceeded        429
├── ConfigInvalid        503
├── Busy                 503
├── GraphAway            503
├── ServiceUnavailable   503
└── SnapshotsFull        507
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from codestory.pipeline_rules import suggestion


class IngestionError(Exception):
    """The request cannot be served."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    #: Seconds after which the same request may succeed; 0: it will not by itself.
    retry_after: ClassVar[int] = 0

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.__doc__ or "")
        #: What else the answer says, beside its body.
        self.headers: dict[str, str] = {}


class JobNotFound(IngestionError):
    """There is no such job."""

    status = 404
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {_quoted(job_id)}.")


class ScheduleNotFound(IngestionError):
    """There is no such schedule."""

    status = 404
    code = "schedule_not_found"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"There is no schedule {_quoted(schedule_id)}.")


class StepNotFound(IngestionError):
    """The job has no such step."""

    status = 404
    code = "step_not_found"

    def __init__(self, job_id: str, step: str, known: Iterable[str]) -> None:
        super().__init__(f"The job {_quoted(job_id)} has no step {_quoted(step)} ({suggestion(step, known)}).")


class EventsGone(IngestionError):
    """The history of the job does not go back so far any more."""

    status = 410
    code = "events_gone"

    def __init__(self, job_id: str, start: int) -> None:
        super().__init__(
            f"Not all that happened to the job {_quoted(job_id)} from {start} on is kept, or the numbers are of an "
            f"earlier history. Begin again: GET /v1/ingest/{job_id} has the job as it is, from_seq=0 what is kept."
        )


class StepNotOffered(IngestionError):
    """No service offers the step."""

    status = 404
    code = "step_not_found"

    def __init__(self, step: str, known: Iterable[str]) -> None:
        super().__init__(f"No service offers the step {_quoted(step)} ({suggestion(step, known)}).")


class RepositoryNotFound(IngestionError):
    """There is no such repository."""

    status = 404
    code = "repository_not_found"

    def __init__(self, repository: str) -> None:
        super().__init__(
            f"There is no repository {_quoted(repository)}. GET /v1/repositories lists those that there are; a name "
            "stands in the address as it is, or percent-encoded."
        )


class JobConflict(IngestionError):
    """The job is in a state that does not allow this."""

    status = 409
    code = "job_conflict"

    def __init__(self, job_id: str, why: str) -> None:
        """`why`: how the sentence goes on after `The job … is`."""
        super().__init__(f"The job {_quoted(job_id)} is {why}. Nothing was changed.")


class UnknownJob(IngestionError):
    """A job that is to be waited for is not known."""

    status = 422
    code = "unknown_job"

    def __init__(self, job_ids: Sequence[str]) -> None:
        listed = ", ".join(_quoted(job_id) for job_id in job_ids)
        super().__init__(f"`after` names {listed}, which this service does not know: nothing would ever release it.")


class NameTaken(IngestionError):
    """Another repository has this name."""

    status = 409
    code = "name_taken"

    def __init__(self, name: str, origin: str = "") -> None:
        whose = f"the repository at {_quoted(origin)}" if origin else "another repository"
        super().__init__(
            f"The name {_quoted(name)} belongs to {whose}. Give this one its own with --name (in a request: name)."
        )


class Unauthenticated(IngestionError):
    """This service has to know who asks. Send an API key: Authorization: Bearer csk_…"""

    status = 401
    code = "unauthenticated"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        error = ', error="invalid_token"' if detail else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="codestory"{error}'}


class RoleMissing(IngestionError):
    """Who asks may not do this."""

    status = 403
    code = "role_missing"


class RepositoryBusy(IngestionError):
    """A job on the repository has not ended."""

    status = 409
    code = "repository_busy"

    def __init__(self, name: str, jobs: Sequence[str]) -> None:
        listed = ", ".join(_quoted(job_id) for job_id in jobs[:5]) + (" …" if len(jobs) > 5 else "")
        noun = "The job" if len(jobs) == 1 else "The jobs"
        super().__init__(
            f"{noun} {listed} on the repository {_quoted(name)} must end first: wait for the end, or cancel. "
            "Nothing was deleted."
        )


class OutsideRoots(IngestionError):
    """This service may not read that place; ask whoever runs it which directories it serves."""

    status = 403
    code = "outside_roots"


class RepositoryRefused(IngestionError):
    """The repository cannot be ingested as it is."""

    status = 422
    code = "repository_refused"


class PipelineInvalid(IngestionError):
    """The pipeline in the request cannot be planned."""

    status = 422
    code = "pipeline_invalid"


class UnknownStep(IngestionError):
    """There is no such step."""

    status = 422
    code = "unknown_step"

    def __init__(self, where: str, names: Sequence[str], known: Iterable[str]) -> None:
        """`where`: how the sentence begins that `step x` ends: `The pipeline has no`."""
        listed = ", ".join(_quoted(name) for name in names)
        noun = "step" if len(names) == 1 else "steps"
        # Guessing at several words helps nobody: list what there is.
        hint = suggestion(names[0] if len(names) == 1 else "", known)
        super().__init__(f"{where} {noun} {listed} ({hint}).")


class UnknownOption(IngestionError):
    """The step has no such option."""

    status = 422
    code = "unknown_option"

    def __init__(self, step: str, option: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known))
        options = f"Its options: {names}." if names else "It has no options."
        super().__init__(f"The step '{step}' has no option {_quoted(option)}. {options}")


class InvalidOption(IngestionError):
    """The value does not fit the option."""

    status = 422
    code = "invalid_option"

    def __init__(self, step: str, option: str, reason: str) -> None:
        place = f"The option {_quoted(option)}" if option else "The options"
        super().__init__(f"{place} of the step '{step}': {reason[:300]}")


class OptionsTooLarge(IngestionError):
    """The options of all steps together are too large. Put long lists into a file of the repository."""

    status = 422
    code = "options_too_large"


class ScheduleInvalid(IngestionError):
    """The schedule names no times that can be met."""

    status = 422
    code = "schedule_invalid"


class CursorInvalid(IngestionError):
    """The cursor is none of this list: it belongs to other filters or to another order. Begin again without it."""

    status = 422
    code = "cursor_invalid"


class InvalidRequest(IngestionError):
    """The request is not what this verb takes."""

    status = 422
    code = "invalid_request"


class AnswerTooLarge(IngestionError):
    """The answer is larger than one message of the bus."""

    status = 422
    code = "answer_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The answer has {size:,} bytes and one message may have {limit:,}. What was asked for has been done. "
            "Ask for fewer with `limit`, or use the REST API."
        )


class ContentTooLarge(IngestionError):
    """The request is larger than this service takes."""

    status = 413
    code = "content_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request may have at most {limit:,} bytes.")


class ConditionMalformed(IngestionError):
    """If-Match takes ETags as GET shows them, in quotes and separated by commas, or *."""

    status = 400
    code = "condition_malformed"


class ChangedMeanwhile(IngestionError):
    """It is not as If-Match says any more."""

    status = 412
    code = "changed_meanwhile"

    def __init__(self, what: str) -> None:
        super().__init__(f"The {what} has changed since that ETag. Nothing was changed; look at it again.")


class KeyReused(IngestionError):
    """The Idempotency-Key was sent before, with another request. Send this one with a key of its own."""

    status = 422
    code = "idempotency_key_reused"


class Forgotten(IngestionError):
    """What this request made is not kept any more."""

    status = 410
    code = "forgotten"

    def __init__(self, made: str) -> None:
        super().__init__(
            f"The first request with this Idempotency-Key made {_quoted(made)}, which has been removed since. Nothing "
            "was made. To make another, send the request with a new key."
        )


class Throttled(IngestionError):
    """There is no room to start the job at once."""

    status = 429
    code = "throttled"
    retry_after = 5

    def __init__(self, why: str, *, made: bool = False) -> None:
        """`made`: the job had been made, and was given up."""
        self.made = made
        super().__init__(
            f"The job cannot start at once: {why}. Nothing was started. Ask again later, or with `on_full: wait`."
        )


class RateLimited(IngestionError):
    """That was too much in too short a time."""

    status = 429
    code = "rate_limited"

    def __init__(self, limit: str, seconds: int) -> None:
        super().__init__(f"The limit is {limit}. Nothing was done; ask again in {seconds} s.")
        self.headers = {"Retry-After": str(seconds)}


class QuotaExceeded(IngestionError):
    """There are as many unfinished jobs of one owner as there may be."""

    status = 429
    code = "quota_exceeded"
    retry_after = 30

    def __init__(self, owner: str, quota: int) -> None:
        super().__init__(
            f"{_quoted(owner)} has {quota} jobs that have not ended, and may have no more. Nothing was started. "
            "Wait for some of them, or cancel some."
        )


class SnapshotNotFound(IngestionError):
    """There is no such part or snapshot."""

    status = 404
    code = "snapshot_not_found"

    def __init__(self, sha256: str) -> None:
        super().__init__(f"There is no part and no snapshot {_quoted(sha256)}, or not any more. Send it with PUT.")


class PartsMissing(IngestionError):
    """Parts of the snapshot are not there."""

    status = 409
    code = "parts_missing"

    def __init__(self, missing: Sequence[str]) -> None:
        listed = ", ".join(missing[:20]) + (" …" if len(missing) > 20 else "")
        super().__init__(
            f"{len(missing)} parts of the snapshot are not there, or not any more: {listed}. Nothing was stored. "
            "Send these, then the manifest again."
        )


class UnknownSnapshot(IngestionError):
    """The job's repository is a snapshot that is not there."""

    status = 422
    code = "unknown_snapshot"

    def __init__(self, sha256: str) -> None:
        super().__init__(f"There is no snapshot {_quoted(sha256)} any more: codestory ingest start PATH --upload")


class HashMismatch(IngestionError):
    """What was sent is not what its address says."""

    status = 422
    code = "hash_mismatch"

    def __init__(self, sha256: str) -> None:
        super().__init__(f"The sha256 of what was sent is not {sha256}. Nothing was stored; send it again.")


class ManifestInvalid(IngestionError):
    """This is no manifest of a snapshot."""

    status = 422
    code = "manifest_invalid"

    def __init__(self, place: str, reason: str) -> None:
        where = f"{place}: " if place else ""
        super().__init__(
            f"The manifest cannot be read: {where}{reason[:300]}. A part is sent as application/octet-stream."
        )


class SnapshotsFull(IngestionError):
    """There is no room for more uploaded repositories."""

    status = 507
    code = "snapshots_full"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"There is no room for more uploaded repositories: {limit:,} bytes are what this service keeps of them "
            "(CODESTORY_SNAPSHOTS_MAX_BYTES). Nothing was stored. Leave out what need not be ingested, with "
            ".codestoryignore; or ask whoever runs the service to raise it; those that no job needs go by themselves."
        )


class ConfigInvalid(IngestionError):
    """The service's own pipeline_config.yml has a mistake; whoever runs the service has to mend it."""

    status = 503
    code = "config_invalid"


class GraphAway(IngestionError):
    """The graph does not answer."""

    status = 503
    code = "graph_unavailable"
    retry_after = 5

    def __init__(self, why: str) -> None:
        super().__init__(f"{why.rstrip('.')}. Try again soon; `GET /v1/ingest/health` says when it is back.")


class Busy(IngestionError):
    """There are as many requests in work as this service takes at once."""

    status = 503
    code = "busy"
    retry_after = 1

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} requests are in work, no more are taken at once. Nothing was done; ask again soon.")


class ServiceUnavailable(IngestionError):
    """The service has lost its message bus and is reconnecting; try again soon."""

    status = 503
    code = "unavailable"
    retry_after = 2


def _quoted(text: str) -> str:
    """Short, and with nothing in it that a terminal obeys."""
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
