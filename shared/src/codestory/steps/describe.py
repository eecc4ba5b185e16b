"""Says what a step is, so that its host need not import it: `python -m codestory.steps.describe NAME`."""

import sys

from codestory.steps import discovery


def main() -> None:
    try:
        step = discovery.load(sys.argv[1])
    except discovery.StepNotFound as error:
        sys.exit(str(error))
    sys.stdout.write(discovery.describe(step).model_dump_json() + "\n")


if __name__ == "__main__":
    main()
