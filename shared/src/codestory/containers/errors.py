"""What can go wrong with a service in containers. Each says what happened and which command mends it.

ContainersError
├── EngineUnavailable   Docker does not answer, or may not be asked
├── NotInContainers     no container of Code Story answers there
├── MountRefused        this folder is never mounted
├── NotShared           Docker may not mount this folder
├── MountStale          it is mounted, and shows something else than the folder
├── OverrideUnusable    compose.override.yaml cannot be read or written
└── Unhealthy           a container does not come up"""


class ContainersError(Exception):
    """The service in containers could not do what was asked."""


class EngineUnavailable(ContainersError):
    """Docker does not answer."""


class NotInContainers(ContainersError):
    """No container of Code Story answers there."""


class MountRefused(ContainersError):
    """This folder is never mounted."""


class NotShared(ContainersError):
    """Docker may not mount this folder."""


class MountStale(ContainersError):
    """The mount shows something else than the folder."""


class OverrideUnusable(ContainersError):
    """compose.override.yaml cannot be used."""


class Unhealthy(ContainersError):
    """A container does not come up."""
