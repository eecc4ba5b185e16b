"""What can go wrong with the embedded stack.

LocalError
├── BadSetting        a CODESTORY_* setting or a given file cannot be used
├── StateUnusable     the state directory cannot be written or locked
├── StateNewer        the state directory was written by a newer version
├── NotInstalled      a part of the stack is not installed here
├── AnotherVersion    the stack that runs is another version's
├── NotReady          a process does not come up
└── NoSuchLog         there is no log of that name"""


class LocalError(Exception):
    """The embedded stack could not do what was asked."""


class BadSetting(LocalError):
    """A setting cannot be used as it is."""


class StateUnusable(LocalError):
    """The state directory cannot be used."""


class StateNewer(LocalError):
    """The state directory was written by a newer version."""


class NotInstalled(LocalError):
    """A part of the embedded stack is not installed."""


class AnotherVersion(LocalError):
    """Another version of Code Story is running."""


class NotReady(LocalError):
    """A process of the stack does not come up."""

    def __init__(self, process: str, message: str) -> None:
        super().__init__(message)
        self.process = process


class NoSuchLog(LocalError):
    """There is no log of that name."""
