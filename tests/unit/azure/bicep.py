"""As much of Bicep as azure/ uses, carried out: what would be sent to Azure, without Azure.

pycep parses it, and pays no heed to which operator binds more tightly; so azure/ writes brackets where that matters,
except after a dot."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from pycep import BicepParser
from pycep.models import BicepElement

GROUP: Final = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
#: What Azure would say of resources that are there; the rest of their properties is not known here.
KNOWN: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "Microsoft.App/managedEnvironments": lambda _: {"defaultDomain": "lively.westeurope.azurecontainerapps.io"},
    "Microsoft.App/containerApps": lambda name: {
        "latestRevisionName": f"{name}--1",
        "configuration": {"ingress": {"fqdn": f"{name}.lively.westeurope.azurecontainerapps.io"}},
    },
    "Microsoft.ContainerRegistry/registries": lambda name: {"loginServer": f"{name}.azurecr.io"},
    "Microsoft.KeyVault/vaults": lambda name: {"vaultUri": f"https://{name}.vault.azure.net/"},
    "Microsoft.ManagedIdentity/userAssignedIdentities": lambda name: {
        "clientId": f"client-of-{name}",
        "principalId": f"principal-of-{name}",
    },
}
INTERPOLATION: Final = re.compile(r"\$\{")
PARSER: Final = BicepParser(cache=False)


class NotUnderstood(Exception):
    """This is more of Bicep than is understood here, or it is wrong."""


@dataclass(frozen=True)
class Resource:
    type: str
    api_version: str
    body: dict[str, Any]
    file: str


@dataclass
class Deployment:
    """The resources that it makes, with those of its modules, and its outputs."""

    resources: list[Resource] = field(default_factory=list[Resource])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])

    def bodies(self, kind: str) -> dict[str, dict[str, Any]]:
        return {resource.body["name"]: resource.body for resource in self.resources if resource.type == kind}


@cache
def parse(text: str) -> dict[str, Any]:
    return PARSER.parse(text=text)  # pyright: ignore[reportReturnType]  # a dict by another name


def parameters(file: Path, environment: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """The template that a .bicepparam is for, and the values. What it uses is a small part of Bicep itself."""
    text = file.read_text()
    using = re.search(r"^using '(.+)'$", text, re.MULTILINE)
    if not using:
        raise NotUnderstood(f"{file} says not what it is for")
    # A parameter file differs from a template in these two words.
    parsed = parse(re.sub(r"^param (\w+) =", r"var \1 =", text[using.end() :], flags=re.MULTILINE))
    scope = Scope(file, environment=environment)
    return file.parent / using[1], {
        name: scope.value(element["value"]) for name, element in parsed.get("variables", {}).items()
    }


def deploy(file: Path, given: Mapping[str, Any]) -> Deployment:
    """As a deployment to an empty resource group would be."""
    template = parse(file.read_text())
    declared = template.get("parameters", {})
    if unknown := set(given) - set(declared):
        raise NotUnderstood(f"{file.name} has no parameter {', '.join(sorted(unknown))}")
    scope = Scope(file)
    for name, parameter in declared.items():
        if name not in given and "default" not in parameter:
            raise NotUnderstood(f"{file.name} is not given {name}")
        value = given[name] if name in given else scope.value(parameter["default"])
        _accept(file, name, parameter, value)
        scope.names[name] = value
    done = Deployment()
    for name, resource in template.get("resources", {}).items():
        scope.later[name] = lambda resource=resource: _resource(scope, resource, done)
    for name, variable in template.get("variables", {}).items():
        scope.later[name] = lambda variable=variable: scope.value(variable["value"])
    for name, module in template.get("modules", {}).items():
        scope.later[name] = lambda module=module: _module(scope, module, done)
    for name in list(scope.later):
        scope.name(name)
    done.outputs = {name: scope.value(output["value"]) for name, output in template.get("outputs", {}).items()}
    return done


def _accept(file: Path, name: str, parameter: dict[str, Any], value: object) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "int": int,
        "bool": bool,
        "array": list,
        "object": dict,
        "Platform": dict,
    }
    if not isinstance(value, kinds[parameter["type"]]):
        raise NotUnderstood(f"{file.name}: {name} is to be of type {parameter['type']}, not {value!r}")
    for decorator in parameter["decorators"]:
        if decorator["type"] == "min_value" and isinstance(value, int) and value < decorator["argument"]:
            raise NotUnderstood(f"{file.name}: {name} is less than {decorator['argument']}")


def _resource(scope: "Scope", resource: dict[str, Any], done: Deployment) -> dict[str, Any]:
    body = scope.value({key: value for key, value in resource["config"].items() if key != "dependsOn"})
    name = body["name"]
    group = body["scope"] if resource["existing"] and isinstance(body.get("scope"), str) else GROUP
    if not resource["existing"]:
        done.resources.append(Resource(resource["type"], resource["api_version"], body, scope.file.name))
    known = KNOWN.get(resource["type"], lambda _: {})
    return {"id": f"{group}/providers/{resource['type']}/{name}", "name": name, "properties": known(name)}


def _module(scope: "Scope", module: dict[str, Any], done: Deployment) -> dict[str, Any]:
    config = module["config"]
    if "condition" in config:
        if not scope.value(config["condition"]):
            return {"outputs": {}}
        config = config["config"]
    for needed in config.get("dependsOn", []):
        scope.name(needed)
    inner = deploy(scope.file.parent / module["detail"]["path"], scope.value(config.get("params", {})))
    done.resources.extend(inner.resources)
    return {"outputs": inner.outputs}


@dataclass(frozen=True)
class Value:
    """What has been worked out already."""

    of: Any


class Scope:
    """The names of one file, and what they stand for; worked out when they are asked for."""

    def __init__(self, file: Path, environment: Mapping[str, str] | None = None) -> None:
        self.file, self.environment = file, environment or {}
        self.names: dict[str, Any] = {}
        self.later: dict[str, Callable[[], Any]] = {}

    def name(self, name: str) -> Any:
        if name not in self.names:
            if name not in self.later:
                raise NotUnderstood(f"{self.file.name}: there is no {name}")
            self.names[name] = self.later[name]()
        return self.names[name]

    def value(self, element: Any) -> Any:
        match element:
            case Value():
                return element.of
            case BicepElement():
                return self.name(str(element))
            case str():
                return self._text(element)
            case list():
                return [self.value(item) for item in element]  # pyright: ignore[reportUnknownVariableType]
            case {"function": call}:
                return self._call(call["type"], list(call.get("parameters", {}).values()))
            case {"operator": {"type": kind, "operands": operands}}:
                return self._operator(kind, list(operands.values()))
            case {"loop_type": loop, "config": body}:
                return self._loop(loop, body)
            case dict():
                return self._object(element)  # pyright: ignore[reportUnknownArgumentType]
            case _:
                return element

    def _object(self, element: dict[str, Any]) -> dict[str, Any]:
        return {self._text(key.strip("'")): self.value(item) for key, item in element.items()}

    def _text(self, text: str) -> str:
        """With what stands in ${} worked out. Nested quotes and brackets are told apart."""
        if not (found := INTERPOLATION.search(text)):
            return text.replace("\\'", "'")
        depth, at = 1, found.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        inner = self.value(parse(f"var inner = {text[found.end() : at - 1]}\n")["variables"]["inner"]["value"])
        return text[: found.start()] + str(inner) + self._text(text[at:])

    def _loop(self, loop: dict[str, Any], body: Any) -> list[Any]:
        if loop["type"] != "array":
            raise NotUnderstood(f"{self.file.name}: a loop over {loop['type']}")
        detail, made = loop["detail"], list[Any]()
        for item in self.value(detail["array_name"]):
            self.names[detail["item_name"]] = item
            made.append(self.value(body))
        self.names.pop(detail["item_name"], None)
        return made

    def _operator(self, kind: str, operands: list[Any]) -> Any:
        match kind, operands:
            case "property_accessor", [base, path]:
                return self._follow(self.value(base), path)
            case "index_accessor", [base, key]:
                return self.value(base)[self.value(key)]
            case "conditional", [condition, yes, no]:
                chosen = self.value(condition)
                if not isinstance(chosen, bool):
                    raise NotUnderstood(f"{self.file.name}: {chosen!r} is neither true nor false")
                return self.value(yes if chosen else no)
            case "equals", [one, other]:
                return self.value(one) == self.value(other)
            case "and", [one, other]:
                return self.value(one) and self.value(other)
            case "not", [one]:
                return not self.value(one)
            case "add", [one, other]:
                return self.value(one) + self.value(other)
            case _:
                raise NotUnderstood(f"{self.file.name}: the operator {kind}")

    def _follow(self, base: Any, path: Any) -> Any:
        match path:
            case {"operator": {"type": "property_accessor", "operands": {"operand_1": first, "operand_2": rest}}}:
                return self._follow(self._follow(base, first), rest)
            case {"operator": {"type": kind, "operands": operands}}:  # the dot binds more tightly than any other
                first, *others = operands.values()
                return self._operator(kind, [Value(self._follow(base, first)), *others])
            case BicepElement() if str(path) in base:
                return base[str(path)]
            case _:
                raise NotUnderstood(f"{self.file.name}: {path} of {base}")

    def _call(self, name: str, given: list[Any]) -> Any:
        plain = name.replace("_", "").lower()
        values = [self.value(item) for item in given if item is not None]
        if plain == "readenvironmentvariable":
            if values[0] not in self.environment and len(values) == 1:
                raise NotUnderstood(f"{self.file.name} needs the environment variable {values[0]}")
            return self.environment.get(values[0], *values[1:])
        if plain == "loadtextcontent":
            return (self.file.parent / values[0]).read_text()
        if plain not in FUNCTIONS:
            raise NotUnderstood(f"{self.file.name}: the function {name}")
        return FUNCTIONS[plain](*values)


def _hash(*values: str) -> str:
    return hashlib.sha256("-".join(values).encode()).hexdigest()[:13]


def _group(name: str = "rg", *_: str) -> Any:
    """A resource group as such, or as the scope of something: another than ours is named by its address alone."""
    return (
        {"id": GROUP, "name": "rg", "location": "westeurope"} if name == "rg" else f"{GROUP.removesuffix('rg')}{name}"
    )


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _contains(container: list[Any] | dict[str, Any] | str, item: Any) -> bool:
    return item in container


def _empty(value: Any) -> bool:
    return not value


def _of_subscription(kind: str, name: str) -> str:
    return f"{GROUP.partition('/resource')[0]}/providers/{kind}/{name}"


def _take(text: str, count: int) -> str:
    return text[:count]


def _concat(*lists: list[Any]) -> list[Any]:
    return [item for one in lists for item in one]


def _union(*objects: dict[str, Any]) -> dict[str, Any]:
    return {key: value for one in objects for key, value in one.items()}


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "concat": _concat,
    "contains": _contains,
    "empty": _empty,
    "environment": lambda: {"authentication": {"loginEndpoint": "https://login.microsoftonline.com/"}},
    "guid": _hash,
    "json": json.loads,
    "replace": _replace,
    "resourcegroup": _group,
    "string": _string,
    "subscriptionresourceid": _of_subscription,
    "take": _take,
    "tenant": lambda: {"tenantId": "22222222-2222-2222-2222-222222222222"},
    "union": _union,
    "uniquestring": _hash,
}
