"""Says what a step is, so that its host need not import it: `python -m codestory.steps.describe NAME`."""

import sys

from codestory import disclosure, telemetry
from codestory.contracts.services import Registration
from codestory.files.confined import FileSettings
from codestory.graph.settings import GraphSettings
from codestory.snapshots.settings import CacheSettings
from codestory.steps import discovery
from codestory.steps.progress import PhasesInvalid
from codestory.steps.settings import HostSettings
from codestory.steps.step import AnyStep


def main() -> None:
    try:
        step = discovery.load(sys.argv[1])
        info = registration(step)
    except (discovery.StepNotFound, PhasesInvalid) as error:
        sys.exit(str(error))
    sys.stdout.write(info.model_dump_json() + "\n")


def registration(step: type[AnyStep]) -> Registration:
    """What it is, and how its service is set up: the host hands its own environment on to this process."""
    read = (
        HostSettings,
        GraphSettings,
        CacheSettings,
        FileSettings,
        telemetry.TelemetrySettings,
        *step.settings_classes,
    )
    service = disclosure.facts(*read, versions=step.versions())
    return Registration(**discovery.describe(step).model_dump(), service=service)


if __name__ == "__main__":
    main()
