"""The templates of azure/, carried out for both environments and each way to scale."""

from pathlib import Path
from typing import Any

import pytest

from .bicep import Deployment, deploy, parameters

ROOT = Path(__file__).parents[3]
AZURE = ROOT / "azure"
#: What each parameter file takes from the environment of whoever deploys.
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "dev": {"NEO4J_URI": "neo4j+s://graph.example.org"},
    "production": {
        "AZURE_AI_ACCOUNT": "models",
        "AZURE_AI_DEPLOYMENT": "summaries",
        "AZURE_AI_RESOURCE_GROUP": "rg-models",
        "AZURE_AI_URL": "https://models.openai.azure.com",
        "ENTRA_AUDIENCE": "33333333-3333-3333-3333-333333333333",
        "NATS_MONITORING": "nats.internal.example.org:8222",
        "NATS_URL": "tls://nats.internal.example.org:4222",
        "NEO4J_URI": "bolt://neo4j.internal.example.org:7687",
        "OTLP_ENDPOINT": "http://collector.internal.example.org:4318",
        "SUBNET_ID": "/subscriptions/1/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/s",
        "VERSION": "1.2.3",
    },
}
STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")


def deployed(name: str, scaler: str = "", **changes: Any) -> Deployment:
    """`changes`: of parameters, and of fields of the platform."""
    template, given = parameters(AZURE / f"{name}.bicepparam", ENVIRONMENTS[name])
    platform = given["platform"] | ({"scalerMode": scaler} if scaler else {})
    platform |= {field: changes.pop(field) for field in set(changes) & set(platform)}
    return deploy(template, given | {"platform": platform} | changes)


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session", params=["nats", "metricsApi", "fixed"])
def deployment(request: pytest.FixtureRequest, environment: str) -> Deployment:
    return deployed(environment, request.param)


@pytest.fixture(scope="session")
def apps(deployment: Deployment) -> dict[str, dict[str, Any]]:
    return deployment.bodies("Microsoft.App/containerApps")


def container(app: dict[str, Any]) -> dict[str, Any]:
    [only] = app["properties"]["template"]["containers"]
    return only


def variables(app: dict[str, Any]) -> dict[str, str]:
    """Of its one container; none of them is given twice."""
    given = container(app)["env"]
    named = {variable["name"]: variable["value"] for variable in given}
    assert len(named) == len(given)
    return named
