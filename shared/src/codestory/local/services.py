"""The orchestrator and the steps as processes: their commands and what they are told."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from codestory.local.discovery import InstalledStep
from codestory.local.plan import ProcessSpec

ORCHESTRATOR = "orchestrator"
_STEP = "step-"

HOST, PORT, PIPELINE_CONFIG = "CODESTORY_HOST", "CODESTORY_PORT", "CODESTORY_PIPELINE_CONFIG"

#: Serves this machine's user only, who need not say who they are, even where a service elsewhere is set up.
ACCESS = ("CODESTORY_API_KEYS_FILE", "CODESTORY_OIDC_ISSUER")


def orchestrator(python: str, env: Mapping[str, str], *, version: str) -> ProcessSpec:
    return ProcessSpec(ORCHESTRATOR, _module(python, "codestory_orchestrator.main"), env, version=version)


def orchestrator_env(host: str, port: int, config: Path) -> dict[str, str]:
    """What the orchestrator alone is told."""
    return {HOST: host, PORT: str(port), PIPELINE_CONFIG: str(config), **dict.fromkeys(ACCESS, "")}


def told_to_steps(orchestrator_is_told: Mapping[str, str]) -> dict[str, str]:
    """What every service is told."""
    own = (HOST, PORT, PIPELINE_CONFIG, *ACCESS)
    return {name: value for name, value in orchestrator_is_told.items() if name not in own}


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
