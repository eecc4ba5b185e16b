"""What can go wrong between a program and the service.

CodeStoryError
├── BadAddress            the address is not one of a service
├── BadCredentials        the API key or token cannot be sent
├── ServiceUnreachable    nobody answers there
├── UnexpectedAnswer      somebody answers, but not as a Code Story service of this version
├── StillRunning          the job has not ended in the time given
├── RepositoryUnreadable  there is no repository in this folder that could be uploaded
└── ProblemError          the service says what is wrong: status, code, detail, errors
    ├── Invalid           400, 413, 415, 422, 428, 431: the request itself
    ├── Unauthorized      401: the service has to know who asks
    ├── Forbidden         403: who asks may not do this
    ├── NotFound          404
    │   └── Forgotten     410: it was there, and is not kept any more
    ├── Conflict          409: not in this state
    │   └── ChangedMeanwhile  412: it is not as `if_match` says any more
    └── Unavailable       502, 503, 504: later may work
        └── Throttled     429: there is no room now, or too much was asked for in a short time
"""

from collections.abc import Iterable
from typing import Any

from codestory.contracts.api import Problem


class CodeStoryError(Exception):
    """Code Story could not do what was asked."""


class BadAddress(CodeStoryError):
    """This is not the address of a service: it must look like http://host:port."""


class BadCredentials(CodeStoryError):
    """The API key or token cannot be sent."""


class ServiceUnreachable(CodeStoryError):
    """No Code Story service answers at this address."""


class UnexpectedAnswer(CodeStoryError):
    """What answers at this address is not a Code Story service of this version."""


class StillRunning(CodeStoryError):
    """The job has not ended in the time given. It goes on."""


class RepositoryUnreadable(CodeStoryError):
    """There is no repository in this folder that could be uploaded."""


class ProblemError(CodeStoryError):
    """The service refuses, and says why."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(sentence(problem))
        self.problem = problem
        #: Seconds after which the service says that the same request may be taken.
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def code(self) -> str:
        """Stable, for programs."""
        return self.problem.code

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def errors(self) -> tuple[dict[str, Any], ...]:
        """The fields at fault, where the service names them."""
        return self.problem.errors


class Invalid(ProblemError):
    """The request cannot be taken as it stands."""


class Unauthorized(ProblemError):
    """The service has to know who asks, or does not know this key or token."""


class Forbidden(ProblemError):
    """Who asks may not do this."""


class NotFound(ProblemError):
    """There is no such thing: no such job, step or schedule."""


class Forgotten(NotFound):
    """It was there, and is not kept any more."""


class Conflict(ProblemError):
    """This cannot be done in the state that things are in."""


class ChangedMeanwhile(Conflict):
    """It has changed since it was looked at, and nothing was done. Look at it again."""


class Unavailable(ProblemError):
    """The service cannot do this now. Later may work."""


class Throttled(Unavailable):
    """There is no room for this now. `retry_after` says when to try again; `on_full="wait"` waits instead.

    `code` is `rate_limited` when more was asked for in a short time than you may; the client has then waited as often
    and as long as its patience allows."""


BY_STATUS: dict[int, type[ProblemError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Forgotten,
    412: ChangedMeanwhile,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    428: Invalid,
    429: Throttled,
    431: Invalid,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_error(problem: Problem, retry_after: float | None = None) -> ProblemError:
    """The error of the class that fits the problem's status."""
    return BY_STATUS.get(problem.status, ProblemError)(problem, retry_after)


def sentence(problem: Problem) -> str:
    """The problem in one line: what is wrong, then which fields."""
    what = problem.detail or problem.title
    fields = "; ".join(filter(None, (_field(error) for error in problem.errors)))
    return f"{what} ({fields})" if fields else what


def _field(error: dict[str, Any]) -> str:
    """Pydantic's `loc` and `msg`, or `field`/`pointer` and `message`/`detail`: both are in use for such lists."""
    where: Any = error.get("loc") or error.get("field") or error.get("pointer") or ""
    said: Any = error.get("msg") or error.get("message") or error.get("detail") or error.get("reason") or ""
    if isinstance(where, Iterable) and not isinstance(where, str):
        where = ".".join(str(part) for part in where)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # from JSON
    return f"{where}: {said}" if where and said else str(said or where)
