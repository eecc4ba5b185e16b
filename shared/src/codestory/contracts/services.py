"""What a service says of itself for whoever helps with it: its settings without secrets, and what it is made of."""

from pydantic import JsonValue

from codestory.contracts.api import StepInfo
from codestory.contracts.values import Value


class ServiceFacts(Value):
    """Of one process. Secrets were left out where this was made, before it went anywhere."""

    #: Of Code Story.
    version: str = ""
    python: str = ""
    platform: str = ""
    #: Installed packages beside Python's own, and programs, by name.
    versions: dict[str, str] = {}
    #: By the variable that sets it.
    settings: dict[str, JsonValue] = {}
    #: Variables of ours in the environment that no setting of this service has.
    unknown: tuple[str, ...] = ()
    #: There was more than fits.
    cut: bool = False


class Registration(StepInfo):
    """A step that exists, as its service writes it into the registry. The API tells what `StepInfo` has."""

    #: None: a service of an older version.
    service: ServiceFacts | None = None
