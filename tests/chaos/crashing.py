"""Runs the orchestrator or a step as it is, but writes down the name of each write, and at a point that a file names
dies or stops just before it: `python crashing.py orchestrator | STEP`.

CHAOS_HOOK: a folder. `point` in it names the point (`record#2`, or `stop record#2`); when it changes, counting starts
anew. `log` gets the names."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path


class Hook:
    def __init__(self, folder: Path) -> None:
        self.point, self.log = folder / "point", folder / "log"
        self.armed = ""
        self.counts: Counter[str] = Counter()

    def __call__(self, what: str) -> None:
        armed = self.point.read_text()
        if armed != self.armed:
            self.armed = armed
            self.counts.clear()
            self.log.write_text("")
        self.counts[what] += 1
        name = f"{what}#{self.counts[what]}"
        with self.log.open("a") as file:
            file.write(name + "\n")
        if armed == name:
            os._exit(137)
        if armed == f"stop {name}":
            os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    if sys.argv[1] == "orchestrator":
        from codestory_orchestrator.main import main
    else:
        from codestory.steps.main import main
    main(Hook(Path(os.environ["CHAOS_HOOK"])))
