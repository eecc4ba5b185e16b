"""How a step gives up.

StepError                 the step gives up for good
├── TemporaryStepError    later may work
│   └── RepositoryUnavailable
└── Unreadable            one file cannot be read; most steps catch it and name the file as a gap
"""


class StepError(Exception):
    """The step gives up: trying again would not help. The message is for the user."""


class TemporaryStepError(StepError):
    """The step could not go on now; later may work. It is tried again as the job's retry settings say."""


class RepositoryUnavailable(TemporaryStepError):
    """The repository's directory cannot be read: it is not there, or not mounted yet, or closed to this service."""


class Unreadable(StepError):
    """A file of the repository cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        """`reason` is one of few, so that gaps can be counted by it; what differs from file to file is `path`."""
        super().__init__(f"{path or 'the repository'}: {reason}")
        self.path = path
        self.reason = reason
