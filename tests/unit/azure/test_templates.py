"""The templates are Bicep, and what they would send is what Azure's own models know."""

import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Required, cast, get_args, get_origin, get_type_hints

import pytest
from azure.mgmt.appcontainers import ContainerAppsAPIClient, models, types

from .bicep import Deployment, NotUnderstood, parameters, parse
from .conftest import AZURE, ENVIRONMENTS, ROOT, STEPS, deployed

TEMPLATES = sorted(AZURE.rglob("*.bicep"))
#: Those whose names other modules work out again.
SHARED_NAMES = ("environmentName", "identityName", "vaultName", "registryName", "modelIdentityName")
MODELS = {
    "Microsoft.App/containerApps": types.ContainerApp,
    "Microsoft.App/managedEnvironments": types.ManagedEnvironment,
}
#: What the types name and the checker alone imports.
ENUMERATIONS = {name: one for name, one in vars(models).items() if hasattr(one, "__members__")}


def faults(value: Any, expected: Any, where: str) -> list[str]:
    """Where it differs from a model: properties that it does not know, values of another type or of no enumeration."""
    origin, arguments = get_origin(expected), get_args(expected)
    if value is None or expected is Any:
        return []
    if origin is Required:
        return faults(value, arguments[0], where)
    if origin is list and isinstance(value, list):
        items = cast("list[Any]", value)
        return [fault for index, item in enumerate(items) for fault in faults(item, arguments[0], f"{where}[{index}]")]
    if origin is dict and isinstance(value, dict):
        pairs = cast("dict[str, Any]", value)
        return [fault for key, item in pairs.items() for fault in faults(item, arguments[1], f"{where}.{key}")]
    if hasattr(expected, "__required_keys__"):
        known = get_type_hints(expected, localns=ENUMERATIONS, include_extras=True)
        missing = [key for key, kind in known.items() if get_origin(kind) is Required and key not in value]
        return [
            *(f"{where}.{key} is not known" for key in value if key not in known),
            *(f"{where}.{key} is missing" for key in missing),
            *(fault for key in value if key in known for fault in faults(value[key], known[key], f"{where}.{key}")),
        ]
    if arguments:  # a string, or one of an enumeration
        enumerations = [argument for argument in arguments if hasattr(argument, "__members__")]
        return [f"{where}: {value!r}" for one in enumerations if value not in [member.value for member in one]]
    allowed = (int, float) if expected is float else expected
    return [] if isinstance(value, allowed) else [f"{where}: {value!r} is no {expected.__name__}"]


def test_what_is_sent_is_what_azures_models_know(deployment: Deployment) -> None:
    found = [
        fault
        for resource in deployment.resources
        if resource.type in MODELS
        for fault in faults(resource.body, MODELS[resource.type], resource.body["name"])
    ]

    assert found == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties.template.gracePeriod", 30),
        ("properties.configuration.activeRevisionsMode", "Sinlge"),
        ("properties.template.terminationGracePeriodSeconds", "30"),
        ("properties.configuration.identitySettings", [{"lifecycle": "None"}]),
    ],
)
def test_a_wrong_property_would_be_seen(path: str, value: object) -> None:
    body = deployed("dev").bodies("Microsoft.App/containerApps")["blarify"]
    *parents, last = path.split(".")
    inner = body
    for parent in parents:
        inner = inner[parent]
    inner[last] = value

    [fault] = faults(body, types.ContainerApp, "blarify")
    assert fault.startswith(f"blarify.{path}")


def test_the_models_are_of_the_same_version_as_the_templates(deployment: Deployment) -> None:
    configuration = inspect.getsource(inspect.getmodule(ContainerAppsAPIClient) or pytest.fail("no source"))
    versions = {resource.api_version for resource in deployment.resources if resource.type in MODELS}
    sources = {
        version
        for template in TEMPLATES
        for version in re.findall(r"'Microsoft\.App/\w+@([\w-]+)'", template.read_text())
    }

    [version] = versions | sources
    assert f'"{version}"' in configuration


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_shared_names_are_made_the_same_way_everywhere(template: Path) -> None:
    """A module that is deployed alone finds what another one made."""
    source = (AZURE / "modules" / "orchestrator.bicep").read_text() + (AZURE / "modules" / "identity.bicep").read_text()
    made = {
        name: re.sub(r"platform\.", "", value)
        for name, value in re.findall(r"^param (\w+) string = (.+)$", source, re.MULTILINE)
        if name in SHARED_NAMES
    }

    for name, value in re.findall(r"^param (\w+) string = (.+)$", template.read_text(), re.MULTILINE):
        if name in SHARED_NAMES:
            assert value.replace("platform.", "") == made[name], name


def test_a_parameter_file_says_what_all_services_share(environment: str) -> None:
    shared = parse((AZURE / "modules" / "platform.bicep").read_text())["types"]["Platform"]["value"]

    given = deployed_platform(environment)

    assert set(given) == set(shared)
    for name, kind in shared.items():
        assert isinstance(given[name], {"int": int, "DrainSeconds": int, "bool": bool}.get(str(kind), str)), name


def deployed_platform(environment: str) -> dict[str, Any]:
    _, given = parameters(AZURE / f"{environment}.bicepparam", ENVIRONMENTS[environment])
    return given["platform"]


@pytest.mark.parametrize("service", ["orchestrator", *STEPS])
def test_one_service_is_deployed_alone(service: str) -> None:
    alone = deployed("production", services=[service], azureAiAccount="", versions={service: "1.2.4"})

    [resource] = alone.resources
    [container] = resource.body["properties"]["template"]["containers"]
    assert container["name"] == service.replace("_", "-")
    assert container["image"].endswith(":1.2.4")


def test_the_production_bus_is_nobody_of_ours() -> None:
    everything = deployed("production")

    assert "nats" not in everything.bodies("Microsoft.App/containerApps")


def test_no_template_takes_or_holds_a_secret() -> None:
    """They lie in the vault; a parameter would be kept in the history of deployments."""
    for template in TEMPLATES:
        for name in parse(template.read_text()).get("parameters", {}):
            assert not re.search(r"(?i)password|secret|token$|key$|seed", name), (template.name, name)
        assert not re.search(r"listKeys|listCredentials|\.getSecret", template.read_text()), template.name


def test_what_is_not_understood_is_an_error() -> None:
    with pytest.raises(NotUnderstood, match="no parameter colour"):
        deployed("dev", colour="red")


def test_the_compiler_takes_them() -> None:
    compiler = shutil.which("bicep")
    if not compiler:
        pytest.skip("no Bicep compiler: `az bicep install` puts one into ~/.azure/bin; have it on the PATH as bicep")

    for template in [*TEMPLATES, *sorted(AZURE.glob("*.bicepparam"))]:
        verb = "build-params" if template.suffix == ".bicepparam" else "build"
        done = subprocess.run(
            [compiler, verb, template, "--stdout"], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        assert done.returncode == 0, done.stderr
