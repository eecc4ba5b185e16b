"""Runs the orchestrator or a step as it is, but writes down the name of each write, and dies just before the one that
CRASH_AT names (`what#n`): `python crashing.py orchestrator | STEP`."""

import os
import sys
from collections import Counter
from pathlib import Path


def hook() -> "Hook":
    return Hook(os.environ.get("CRASH_AT", ""), os.environ.get("WRITE_LOG", ""))


class Hook:
    def __init__(self, point: str, log: str) -> None:
        self.point, self.log = point, log
        self.counts: Counter[str] = Counter()

    def __call__(self, what: str) -> None:
        self.counts[what] += 1
        name = f"{what}#{self.counts[what]}"
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(name + "\n")
        if name == self.point:
            os._exit(137)


if __name__ == "__main__":
    if sys.argv[1] == "orchestrator":
        from codestory_orchestrator.main import main
    else:
        from codestory.steps.main import main
    main(hook())
