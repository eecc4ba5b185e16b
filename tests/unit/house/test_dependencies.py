"""Each package states what it imports, and the locks hold all of it. Checked without a network."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PYPROJECTS = [ROOT / "pyproject.toml", ROOT / "shared" / "pyproject.toml", *ROOT.glob("services/*/pyproject.toml")]
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
#: Rooms of the shared library that an extra of the same name is for. The rest lives on pydantic alone.
EXTRAS = {
    "telemetry": "telemetry",
    "keeping.py": "bus",
    "bus.py": "bus",
    "bus_settings.py": "bus",
    "containers": "containers",
    "mirror.py": "bus",
    "puller.py": "bus",
    "snapshots": "bus",
    "files": "client",
    "graph": "graph",
    "api_keys": "local",
    "nats_users": "cli",
    "client": "client",
    "redaction": "redaction",
    "disclosure.py": "disclosure",
    "pipeline_file.py": "client",
    "ingestion_pipeline": "cli",
    "steps": "steps",
    "local": "local",
    "cli": "cli",
    "testing_bus.py": "bus",
    "testing_containers.py": "testing",
    "testing_prometheus.py": "client",
    "testing_settings.py": "disclosure",
    "testing_traces.py": "telemetry",
    "testing_world.py": "steps",
}
#: Extras that only those install who test.
OF_TESTS = {"dev", "testing"}


def declared(pyproject: Path) -> dict[str, list[Requirement]]:
    """Requirements by extra; those without one under ''."""
    project: dict[str, Any] = tomllib.loads(pyproject.read_text())["project"]
    groups = {"": project.get("dependencies", []), **project.get("optional-dependencies", {})}
    return {name: [Requirement(text) for text in texts] for name, texts in groups.items()}


def closure(requirements: list[Requirement]) -> set[str]:
    """Names, with those of the shared library's extras that are asked for."""
    shared = declared(ROOT / "shared" / "pyproject.toml")
    names: set[str] = set()
    for requirement in requirements:
        names.add(canonicalize_name(requirement.name))
        if requirement.name == "codestory":
            names |= closure(shared[""]).union(*(closure(shared[extra]) for extra in requirement.extras))
    return names


@cache
def distributions() -> dict[str, set[str]]:
    """The distributions, ours apart, that a top-level module comes from."""
    found = packages_distributions()
    return {module: {canonicalize_name(name) for name in names} for module, names in found.items()}


def imported(where: Path) -> set[str]:
    """Top-level modules of others that are imported anywhere in here."""
    files = [where] if where.is_file() else sorted(where.rglob("*.py"))
    modules = {name.partition(".")[0] for file in files for name in _names(file)}
    ours = {module for module in modules if module == "codestory" or module.startswith("codestory_")}
    return modules - ours - sys.stdlib_module_names


def _names(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case _:
                pass


def undeclared(where: Path, names: set[str]) -> set[str]:
    return {module for module in imported(where) if not distributions().get(module, set()) & names}


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_states_what_it_imports(service: str) -> None:
    package = ROOT / "services" / service

    names = closure(declared(package / "pyproject.toml")[""])

    assert undeclared(package / "src", names) - of_its_programs(package) == set()


def of_its_programs(package: Path) -> set[str]:
    """What a program that a service runs finds in an environment of its own."""
    stated = package / "environment" / "requirements.in"
    lines = stated.read_text().splitlines() if stated.exists() else []
    return {Requirement(line).name for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("room", sorted(path.name for path in (ROOT / "shared/src/codestory").iterdir()))
def test_a_room_of_the_shared_library_imports_only_what_its_extra_states(room: str) -> None:
    if room in {"__init__.py", "__pycache__", "py.typed"}:
        return
    extra = EXTRAS.get(room, "")

    names = closure([Requirement(f"codestory[{extra}]" if extra else "codestory")])

    assert undeclared(ROOT / "shared/src/codestory" / room, names) == set()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_holds_what_the_packages_state(lock: str) -> None:
    versions = locked(lock)
    wanted = [
        requirement
        for pyproject in PYPROJECTS
        for extra, requirements in declared(pyproject).items()
        for requirement in requirements
        if not requirement.name.startswith("codestory") and (extra not in OF_TESTS or lock == "requirements-dev.txt")
    ]

    missing = [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"), prereleases=True)
        or canonicalize_name(requirement.name) not in versions
    ]

    assert missing == [], "run: make lock"


def test_the_development_lock_holds_the_whole_of_the_other() -> None:
    assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()


@pytest.mark.parametrize("service", SERVICES)
def test_the_lock_of_a_services_image_holds_what_it_needs_as_the_laptop_has_it(service: str) -> None:
    own = locked(f"services/{service}/requirements.txt")
    everywhere = locked("requirements.txt")

    wanted = closure(declared(ROOT / "services" / service / "pyproject.toml")[""])

    assert {name for name in wanted if not name.startswith("codestory")} <= own.keys(), "run: make lock"
    assert own.items() <= everywhere.items(), "run: make lock"


IMAGES = [f"services/{service}/requirements.txt" for service in SERVICES]


@pytest.mark.parametrize(
    "lock", ["requirements.txt", "requirements-dev.txt", "services/build-requirements.txt", *IMAGES]
)
def test_a_lock_names_no_address_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "://" not in text
    assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(re.findall(r"==.*\\\n    --hash=sha256:", text))
