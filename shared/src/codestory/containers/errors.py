"""What can go wrong with a service in containers. Each says what happened, why, and which command mends it.

ContainersError
├── EngineUnavailable   Docker does not answer, or may not be asked
├── ComposeUnavailable  the program `docker compose` is not there
├── NotInContainers     no container of Code Story answers there
├── MountRefused        this folder is never mounted
├── NotShared           Docker may not mount this folder
├── NotReadable         the containers' user may not read what is in it
├── MountStale          it is mounted, and shows something else than the folder
├── OverrideUnusable    compose.override.yaml or .env cannot be read or written
├── OtherwiseNow        compose.yaml would now make other containers than those that run
├── PortTaken           something else has the port
└── Unhealthy           a container does not come up"""


class ContainersError(Exception):
    """The service in containers could not do what was asked."""


class EngineUnavailable(ContainersError):
    """Docker does not answer."""


class ComposeUnavailable(ContainersError):
    """Docker Compose is not installed."""


class NotInContainers(ContainersError):
    """No container of Code Story answers there."""


class MountRefused(ContainersError):
    """This folder is never mounted."""


class NotShared(ContainersError):
    """Docker may not mount this folder."""


class NotReadable(ContainersError):
    """The containers' user may not read the folder."""


class MountStale(ContainersError):
    """The mount shows something else than the folder."""


class OverrideUnusable(ContainersError):
    """compose.override.yaml or .env cannot be used."""


class OtherwiseNow(ContainersError):
    """compose.yaml would now make other containers than those that run."""


class PortTaken(ContainersError):
    """Something else has the port."""


class Unhealthy(ContainersError):
    """A container does not come up."""
