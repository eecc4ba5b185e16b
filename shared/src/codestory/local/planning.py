"""Decides what is to run: which parts are our own, where they listen, what the services are told."""

import importlib.metadata
import importlib.resources
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from codestory.local import graph, nats, services
from codestory.local.discovery import InstalledStep
from codestory.local.errors import BadSetting
from codestory.local.files import write_private
from codestory.local.passwords import password
from codestory.local.paths import StatePaths
from codestory.local.plan import GraphAddress, Pace, Plan, ProcessSpec
from codestory.local.ports import LOOPBACK, choose
from codestory.local.settings import LocalSettings

#: Names in ports.json.
_REST, _NATS, _BOLT, _GRAPH_HTTP = "rest", "nats", "bolt", "graph_http"

CONFIG_NAME = "pipeline_config.yml"


@dataclass(frozen=True, slots=True)
class _Part:
    """A server: its process, if it is our own, and what the services are told of it."""

    processes: tuple[ProcessSpec, ...]
    env: dict[str, str]
    address: str


def version() -> str:
    return importlib.metadata.version("codestory")


def new_plan(
    paths: StatePaths, config: Path | None, settings: LocalSettings, installed: Iterable[InstalledStep]
) -> Plan:
    """The whole stack, but for the parts that the settings place elsewhere."""
    python = sys.executable
    ports = _ports(paths, settings)
    bus = _bus(paths, settings, ports)
    graph_part, graph_address = _graph(paths, settings, ports)
    told = {**bus.env, **graph_part.env, **_cache(paths, settings), "PYTHONUNBUFFERED": "1"}
    config = _config(paths, config or settings.pipeline_config)
    orchestrator = services.orchestrator(
        python, {**told, **services.orchestrator_env(LOOPBACK, ports[_REST], config)}, version=version()
    )
    return Plan(
        version=version(),
        python=python,
        processes=(
            *bus.processes,
            *graph_part.processes,
            orchestrator,
            *services.steps(python, told, installed),
        ),
        url=f"http://{LOOPBACK}:{ports[_REST]}",
        config=str(config),
        nats_url=bus.address,
        graph=graph_address,
        ports=ports,
        pace=_pace(settings),
    )


def changed_plan(running: Plan, config: Path | None, installed: Iterable[InstalledStep]) -> Plan:
    """The running stack with the steps that are installed now, and with another pipeline file if one is given."""
    [orchestrator] = [spec for spec in running.processes if spec.name == services.ORCHESTRATOR]
    servers = [spec for spec in running.processes if spec is not orchestrator and services.step_of(spec.name) is None]
    told = services.told_to_steps(orchestrator.env)
    if config is not None:
        config = _given(config)
        orchestrator = replace(orchestrator, env={**orchestrator.env, services.PIPELINE_CONFIG: str(config)})
    steps = services.steps(running.python, told, installed)
    return replace(
        running,
        processes=(*servers, orchestrator, *steps),
        config=orchestrator.env[services.PIPELINE_CONFIG],
        revision=running.revision + 1,
    )


def _ports(paths: StatePaths, settings: LocalSettings) -> dict[str, int]:
    names = [_REST]
    if settings.nats_url is None:
        names.append(_NATS)
    if settings.neo4j_uri is None:
        names += [_BOLT, _GRAPH_HTTP]
    return choose(names, paths.ports, {} if settings.port is None else {_REST: settings.port})


def _bus(paths: StatePaths, settings: LocalSettings, ports: dict[str, int]) -> _Part:
    if settings.nats_url is not None:
        return _Part((), {}, settings.nats_url)
    secret = paths.secrets / "nats.password"
    server = nats.spec(
        paths, port=ports[_NATS], password=password(secret), max_store_bytes=settings.local_nats_max_store_bytes
    )
    url = f"nats://{LOOPBACK}:{ports[_NATS]}"
    env = {
        "CODESTORY_NATS_URL": url,
        "CODESTORY_NATS_USER": nats.USER,
        "CODESTORY_NATS_PASSWORD_FILE": str(secret),
    }
    return _Part((server,), env, url)


def _graph(paths: StatePaths, settings: LocalSettings, ports: dict[str, int]) -> tuple[_Part, GraphAddress]:
    if settings.neo4j_uri is not None:
        file = settings.neo4j_password_file
        outside = GraphAddress(
            settings.neo4j_uri, settings.neo4j_user, settings.neo4j_database, str(file.absolute()) if file else ""
        )
        # Relative to where the user is, and the services are elsewhere.
        env = {"CODESTORY_NEO4J_PASSWORD_FILE": outside.password_file} if file else {}
        return _Part((), env, settings.neo4j_uri), outside
    secret = paths.secrets / "graph.password"
    if not secret.exists():
        graph.forget_users(paths)
    password(secret)
    server = graph.spec(
        paths,
        bolt=ports[_BOLT],
        http=ports[_GRAPH_HTTP],
        password_file=secret,
        heap=settings.local_graph_heap,
    )
    address = graph.address(ports[_BOLT], secret)
    env = {
        "CODESTORY_NEO4J_URI": address.uri,
        "CODESTORY_NEO4J_USER": address.user,
        "CODESTORY_NEO4J_PASSWORD_FILE": address.password_file,
        "CODESTORY_NEO4J_DATABASE": address.database,
    }
    return _Part((server,), env, address.uri), address


def _cache(paths: StatePaths, settings: LocalSettings) -> dict[str, str]:
    """Where snapshots are unpacked: with all else of the stack, not in a folder that others may write to."""
    chosen = settings.snapshot_cache
    return {"CODESTORY_SNAPSHOT_CACHE": str(chosen.absolute() if chosen else paths.snapshots)}


def _config(paths: StatePaths, given: Path | None) -> Path:
    """The given file, else the one in the current directory, else the default one, which the user may then edit."""
    if given is not None:
        return _given(given)
    here = Path(CONFIG_NAME).absolute()
    if here.is_file():
        return here
    if not paths.pipeline_config.exists():
        default = importlib.resources.files("codestory.local").joinpath(CONFIG_NAME)
        write_private(paths.pipeline_config, default.read_text(encoding="utf-8"))
    return paths.pipeline_config


def _given(config: Path) -> Path:
    found = config.expanduser().absolute()
    if not found.is_file():
        raise BadSetting(f"{config} is not a file")
    return found


def _pace(settings: LocalSettings) -> Pace:
    return Pace(
        stop_grace=settings.local_stop_grace_seconds,
        restart=settings.local_restart_seconds,
        restart_max=settings.local_restart_max_seconds,
        restart_stable=settings.local_restart_stable_seconds,
        log_max_bytes=settings.local_log_max_bytes,
        log_files=settings.local_log_files,
        look=settings.local_look_seconds,
    )
