"""Says what a step is, so that its host need not import it: `python -m codestory.steps.describe NAME`."""

import sys

from codestory.steps import discovery
from codestory.steps.progress import PhasesInvalid


def main() -> None:
    try:
        step = discovery.load(sys.argv[1])
        info = discovery.describe(step)
    except (discovery.StepNotFound, PhasesInvalid) as error:
        sys.exit(str(error))
    sys.stdout.write(info.model_dump_json() + "\n")


if __name__ == "__main__":
    main()
