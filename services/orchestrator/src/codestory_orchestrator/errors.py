"""What the orchestrator refuses, and the HTTP status and stable code of each refusal, stated once.

IngestionError
├── JobNotFound          404
├── ScheduleNotFound     404
├── StepNotFound         404
├── JobConflict          409
├── NameTaken            409
├── OutsideRoots         403
├── RepositoryRefused    422
├── PipelineInvalid      422
├── UnknownStep          422
├── UnknownOption        422
├── InvalidOption        422
├── OptionsTooLarge      422
├── UnknownJob           422
├── ScheduleInvalid      422
├── Throttled            429
├── ConfigInvalid        503
└── ServiceUnavailable   503
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

    def __init__(self, name: str, origin: str) -> None:
        super().__init__(
            f"The name {_quoted(name)} belongs to the repository at {_quoted(origin)}. "
            "Give this one a name of its own with --name (in a request: name)."
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


class Throttled(IngestionError):
    """There is no room to start the job at once."""

    status = 429
    code = "throttled"
    retry_after = 5

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The job cannot start at once: {why}. Nothing was started. Ask again later, or with `on_full: wait`."
        )


class ConfigInvalid(IngestionError):
    """The service's own pipeline_config.yml has a mistake; whoever runs the service has to mend it."""

    status = 503
    code = "config_invalid"


class ServiceUnavailable(IngestionError):
    """The service has lost its message bus and is reconnecting; try again soon."""

    status = 503
    code = "unavailable"
    retry_after = 2


def _quoted(text: str) -> str:
    """Short, and with nothing in it that a terminal obeys."""
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
