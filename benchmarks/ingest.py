"""How long the main job takes, and what it needs: `ingest.py REPOSITORY...` (this project, if none is named).

Each repository is ingested twice on a fresh embedded stack: first, and again with nothing changed. Printed: seconds of
each step, peak memory of the steps, counts, and how many times longer it takes than reading and hashing the same files,
measured in the same run: the floor under any step that looks at every byte."""

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from codestory.testing import EmbeddedStack


def floor(repository: Path) -> float:
    """Seconds to walk, read and hash everything."""
    started = time.perf_counter()
    for folder, _, files in os.walk(repository):
        for name in files:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                hashlib.sha256(path.read_bytes()).hexdigest()
    return time.perf_counter() - started


def row(name: str, which: str, job: dict[str, Any], seconds: float, least: float) -> str:
    steps = {step["name"]: step for step in job["steps"]}
    spent = " ".join(f"{key} {step['attempts'][-1]['usage']['seconds']:.1f} s" for key, step in steps.items())
    memory = max(step["attempts"][-1]["usage"]["peak_memory_bytes"] for step in steps.values()) / 2**20
    nodes = sum(sum(step["outcome"]["nodes"].values()) for step in steps.values())
    relationships = sum(sum(step["outcome"]["relationships"].values()) for step in steps.values())
    written = sum(sum(step["outcome"]["written"].values()) for step in steps.values())
    return (
        f"| {name} | {which} | {job['state']} | {seconds:.1f} s | {spent} | {memory:.0f} MB "
        f"| {nodes:,} / {relationships:,} | {written:,} | {seconds / least:.1f} |"
    )


def proportional_memory(stack: EmbeddedStack) -> float:
    """MB of all processes together, shared pages counted once."""
    processes = [psutil.Process(process["pid"]) for process in stack.answer("service", "status")["processes"]]
    family = {member for process in processes for member in [process, *process.children(recursive=True)]}
    return sum(getattr(member.memory_full_info(), "pss", member.memory_info().rss) for member in family) / 2**20


def main(repositories: list[Path]) -> None:
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="codestory-benchmark-") as directory:
        stack = EmbeddedStack(Path(directory))
        try:
            stack.start()
            print(
                f"idle stack: {proportional_memory(stack):.0f} MB, {proportional_memory(stack) / 800:.2f} of the limit"
            )
            print("| repository | run | state | in all | steps | peak | nodes / relationships | written | ÷ floor |")
            print("|---|---|---|---|---|---|---|---|---|")
            for repository in repositories:
                least = floor(repository)
                for which in ("first", "unchanged"):
                    started = time.perf_counter()
                    job = stack.answer("ingest", "start", str(repository))
                    print(row(repository.name, which, job, time.perf_counter() - started, least), flush=True)
            print(f"stack afterwards: {proportional_memory(stack):.0f} MB")
        finally:
            stack.stop()


if __name__ == "__main__":
    main([Path(argument).resolve() for argument in sys.argv[1:]] or [Path(__file__).resolve().parents[1]])
