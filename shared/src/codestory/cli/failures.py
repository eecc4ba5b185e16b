"""What a person is told when a command fails, and with which exit code: the one place that decides both."""

import sys
import tempfile
import traceback

from codestory.api_keys import KeyFileError
from codestory.cli.exits import BadUse, CliError, Exit
from codestory.cli.settings import CliSettings, read
from codestory.cli.text import plain, plain_lines
from codestory.client import (
    CodeStoryError,
    ProblemError,
    ServiceUnreachable,
    Throttled,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from codestory.containers.errors import ContainersError, EngineUnavailable, NotInContainers, PortTaken, Unhealthy
from codestory.local.errors import AnotherVersion, BadSetting, LocalError, NoSuchLog, StateNewer
from codestory.nats_users import NatsUsersError
from codestory.pipeline_file import PipelineFileError
from codestory.repository_identity import RepositoryError

#: The first that fits counts.
EXITS: tuple[tuple[type[Exception], Exit], ...] = (
    (ServiceUnreachable, Exit.UNREACHABLE),
    (UnexpectedAnswer, Exit.UNREACHABLE),
    (Throttled, Exit.FAILED),
    (Unavailable, Exit.UNREACHABLE),
    (CodeStoryError, Exit.BAD_USE),
    (KeyFileError, Exit.BAD_USE),
    (NatsUsersError, Exit.BAD_USE),
    (PipelineFileError, Exit.BAD_USE),
    (RepositoryError, Exit.BAD_USE),
    (BadSetting, Exit.BAD_USE),
    (AnotherVersion, Exit.BAD_USE),
    (StateNewer, Exit.BAD_USE),
    (NoSuchLog, Exit.BAD_USE),
    (LocalError, Exit.UNREACHABLE),
    (EngineUnavailable, Exit.UNREACHABLE),
    (NotInContainers, Exit.UNREACHABLE),
    (PortTaken, Exit.UNREACHABLE),
    (Unhealthy, Exit.UNREACHABLE),
    (ContainersError, Exit.BAD_USE),
)

#: What to do about a 401.
WHO = " Set CODESTORY_API_KEY, or CODESTORY_API_KEY_FILE to a file that holds it; whoever runs the service makes one."


def tell(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code."""
    if _debugging():
        traceback.print_exception(error)
    code = exit_of(error)
    if code is None:
        return _mistake(error)
    hint = WHO if isinstance(error, Unauthorized) else ""
    sys.stderr.write(f"codestory: {plain_lines(str(error)) or type(error).__doc__}{hint}\n")
    return code


def exit_of(error: Exception) -> Exit | None:
    """The exit code of an error that a person can do something about; None for a mistake of ours."""
    if isinstance(error, CliError):
        return error.exit
    if isinstance(error, ProblemError) and error.status >= 500:
        return Exit.UNREACHABLE
    return next((code for kind, code in (*EXITS, *_of_the_graph()) if isinstance(error, kind)), None)


def _of_the_graph() -> tuple[tuple[type[Exception], Exit], ...]:
    """Its driver takes half a second to load: whoever did not ask the graph has no error of it either."""
    if "codestory.graph" not in sys.modules:
        return ()
    from codestory.graph.errors import GraphError, GraphUnavailable  # noqa: PLC0415 - it is loaded

    return (GraphUnavailable, Exit.UNREACHABLE), (GraphError, Exit.BAD_USE)


def _debugging() -> bool:
    try:
        return read(CliSettings).debug
    except BadUse:  # it is a setting that is wrong, and that is about to be said
        return False


def _mistake(error: Exception) -> int:
    """One line for the person, everything else into a file that can be sent to us."""
    with tempfile.NamedTemporaryFile("w", prefix="codestory-", suffix=".log", delete=False, errors="replace") as file:
        traceback.print_exception(error, file=file)
    said = plain(f"{type(error).__name__}: {error}")
    sys.stderr.write(f"codestory: unexpected error, a mistake of ours: {said} (details: {file.name})\n")
    return Exit.FAILED
