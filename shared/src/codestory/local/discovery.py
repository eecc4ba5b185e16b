"""Which steps are installed, asked in a process of its own so that those installed since are seen.

    python -m codestory.local.discovery

prints them as JSON. Nothing of a step is imported: the entry point's name is all that is needed to start it."""

import json
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from typing import Any

from codestory.local.errors import NotInstalled

GROUP = "codestory.pipeline.steps"
#: A scan takes a tenth of a second.
PATIENCE = 30


@dataclass(frozen=True, slots=True)
class InstalledStep:
    name: str
    distribution: str
    version: str


def installed_steps() -> list[InstalledStep]:
    """Those of this environment, by name; a name that two packages give is there once."""
    found = {
        point.name: InstalledStep(
            point.name, point.dist.name if point.dist else "", point.dist.version if point.dist else ""
        )
        for point in entry_points(group=GROUP)
    }
    return sorted(found.values(), key=lambda step: step.name)


def discover(python: str) -> list[InstalledStep]:
    """Those of the environment that this interpreter belongs to."""
    command = [python, "-P", "-m", "codestory.local.discovery"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise NotInstalled(f"{python} cannot say which steps are installed: {said[-1] if said else error}") from error
    steps: list[dict[str, Any]] = json.loads(asked.stdout)
    return [InstalledStep(**step) for step in steps]


if __name__ == "__main__":
    print(json.dumps([asdict(step) for step in installed_steps()]))  # noqa: T201  this is its answer
