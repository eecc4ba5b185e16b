"""The orchestrator and the steps as processes: their commands and what they are told."""

from collections.abc import Iterable, Mapping

from codestory.local.discovery import InstalledStep
from codestory.local.plan import ProcessSpec

ORCHESTRATOR = "orchestrator"
_STEP = "step-"


def orchestrator(python: str, env: Mapping[str, str], *, version: str) -> ProcessSpec:
    return ProcessSpec(ORCHESTRATOR, _module(python, "codestory_orchestrator.main"), env, version=version)


def steps(python: str, env: Mapping[str, str], installed: Iterable[InstalledStep]) -> list[ProcessSpec]:
    """A service for each installed step. Its version makes it another process once another one is installed."""
    return [
        ProcessSpec(
            f"{_STEP}{step.name}",
            _module(python, "codestory.steps.main", step.name),
            env,
            version=f"{step.distribution} {step.version}",
        )
        for step in installed
    ]


def step_of(process: str) -> str | None:
    """The step that a process serves."""
    return process.removeprefix(_STEP) if process.startswith(_STEP) else None


def _module(python: str, module: str, *arguments: str) -> tuple[str, ...]:
    # -P: a file that lies where the stack was started from is not taken for a module.
    return (python, "-P", "-m", module, *arguments)
