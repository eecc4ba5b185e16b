"""What a person is told when a command fails, and with which exit code: the one place that decides both."""

import sys
import tempfile
import traceback

from codestory.cli.exits import BadUse, CliError, Exit
from codestory.cli.settings import CliSettings, read
from codestory.cli.text import plain, plain_lines
from codestory.client import (
    CodeStoryError,
    ProblemError,
    ServiceUnreachable,
    Throttled,
    Unavailable,
    UnexpectedAnswer,
)
from codestory.graph.errors import GraphError, GraphUnavailable
from codestory.local.errors import AnotherVersion, BadSetting, LocalError, NoSuchLog
from codestory.pipeline_file import PipelineFileError
from codestory.repository_identity import RepositoryError

#: The first that fits counts.
EXITS: tuple[tuple[type[Exception], Exit], ...] = (
    (ServiceUnreachable, Exit.UNREACHABLE),
    (UnexpectedAnswer, Exit.UNREACHABLE),
    (Throttled, Exit.FAILED),
    (Unavailable, Exit.UNREACHABLE),
    (CodeStoryError, Exit.BAD_USE),
    (GraphUnavailable, Exit.UNREACHABLE),
    (GraphError, Exit.BAD_USE),
    (PipelineFileError, Exit.BAD_USE),
    (RepositoryError, Exit.BAD_USE),
    (BadSetting, Exit.BAD_USE),
    (AnotherVersion, Exit.BAD_USE),
    (NoSuchLog, Exit.BAD_USE),
    (LocalError, Exit.UNREACHABLE),
)


def tell(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code."""
    if _debugging():
        traceback.print_exception(error)
    code = exit_of(error)
    if code is None:
        return _mistake(error)
    sys.stderr.write(f"codestory: {plain_lines(str(error)) or type(error).__doc__}\n")
    return code


def exit_of(error: Exception) -> Exit | None:
    """The exit code of an error that a person can do something about; None for a mistake of ours."""
    if isinstance(error, CliError):
        return error.exit
    if isinstance(error, ProblemError) and error.status >= 500:
        return Exit.UNREACHABLE
    return next((code for kind, code in EXITS if isinstance(error, kind)), None)


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
