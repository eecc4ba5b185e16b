"""The exit codes, and the errors that the command line itself raises."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    FAILED = 1  # the job failed, was stopped or cancelled, or was refused for want of room (--on-full fail)
    BAD_USE = 2
    GAPS = 3  # the job is done, but not all that was found is in the graph
    UNREACHABLE = 4
    INTERRUPTED = 130


class CliError(Exception):
    """The command cannot do this."""

    exit = Exit.BAD_USE


class BadUse(CliError):
    """What was asked for cannot be done as it was asked."""


class NoService(CliError):
    """No Code Story service runs here."""

    exit = Exit.UNREACHABLE
