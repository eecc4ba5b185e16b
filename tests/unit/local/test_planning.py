"""What is to run: our own parts, outside ones, the steps that are installed, the pipeline file."""

import os
from importlib import metadata
from pathlib import Path

import pytest

from codestory.local.discovery import InstalledStep, installed_steps
from codestory.local.errors import BadSetting
from codestory.local.paths import StatePaths, state_paths
from codestory.local.plan import SERVERS, Plan
from codestory.local.planning import changed_plan, new_plan
from codestory.local.settings import LocalSettings

STEPS = [InstalledStep("filesystem", "codestory-filesystem", "1.0")]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StatePaths:
    paths = state_paths(tmp_path / "state")
    paths.make()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return paths


def planned(paths: StatePaths, **settings: object) -> Plan:
    return new_plan(paths, None, LocalSettings.model_validate(settings), STEPS)


def test_a_whole_stack_has_servers_orchestrator_and_a_service_for_each_step(paths: StatePaths) -> None:
    plan = planned(paths)

    assert [spec.name for spec in plan.processes] == ["nats", "graph", "orchestrator", "step-filesystem"]
    assert {spec.name for spec in plan.processes if spec.stage == SERVERS} == {"nats", "graph"}
    assert plan.version == metadata.version("codestory")


def test_services_are_told_where_everything_is_and_no_secret(paths: StatePaths) -> None:
    plan = planned(paths)

    orchestrator = plan.processes[2].env
    step = plan.processes[3].env
    assert orchestrator["CODESTORY_PORT"] == plan.url.rpartition(":")[2]
    assert step["CODESTORY_NATS_URL"] == plan.nats_url
    assert step["CODESTORY_NEO4J_URI"] == plan.graph.uri
    assert "CODESTORY_PORT" not in step
    for name in ("CODESTORY_NATS_PASSWORD_FILE", "CODESTORY_NEO4J_PASSWORD_FILE"):
        secret = Path(step[name]).read_text()
        assert secret not in str(plan)


def test_snapshots_are_unpacked_below_the_state_directory_unless_the_user_says_where(paths: StatePaths) -> None:
    own = planned(paths)
    chosen = planned(paths, snapshot_cache=Path("cache"))

    name = "CODESTORY_SNAPSHOT_CACHE"
    assert {spec.env.get(name) for spec in own.processes[2:]} == {str(paths.root / "snapshots")}
    assert {spec.env.get(name) for spec in chosen.processes[2:]} == {str(Path("cache").absolute())}


def test_an_outside_nats_is_used_and_none_is_started(paths: StatePaths) -> None:
    plan = planned(paths, nats_url="nats://elsewhere:4222")

    assert [spec.name for spec in plan.processes] == ["graph", "orchestrator", "step-filesystem"]
    assert plan.nats_url == "nats://elsewhere:4222"
    assert "CODESTORY_NATS_URL" not in plan.processes[-1].env  # theirs is in the environment


def test_an_outside_neo4j_is_used_and_none_is_started(paths: StatePaths) -> None:
    plan = planned(paths, neo4j_uri="bolt://elsewhere:7687", neo4j_user="me", neo4j_password_file=Path("password"))

    assert [spec.name for spec in plan.processes] == ["nats", "orchestrator", "step-filesystem"]
    assert (plan.graph.uri, plan.graph.user) == ("bolt://elsewhere:7687", "me")
    assert plan.processes[-1].env["CODESTORY_NEO4J_PASSWORD_FILE"] == str(Path("password").absolute())


def test_the_default_pipeline_is_the_one_of_this_repository(paths: StatePaths) -> None:
    plan = planned(paths)

    assert Path(plan.config) == paths.pipeline_config
    assert paths.pipeline_config.read_text() == (ROOT / "pipeline_config.yml").read_text()


def test_the_default_pipeline_stays_as_the_user_edits_it(paths: StatePaths) -> None:
    planned(paths)
    paths.pipeline_config.write_text("edited")

    planned(paths)

    assert paths.pipeline_config.read_text() == "edited"


def test_the_pipeline_of_the_current_directory_goes_before_the_default(paths: StatePaths) -> None:
    Path("pipeline_config.yml").write_text("steps: []")

    assert Path(planned(paths).config) == Path("pipeline_config.yml").absolute()


def test_a_given_pipeline_goes_before_every_other(paths: StatePaths) -> None:
    for name in ("pipeline_config.yml", "setting.yml", "given.yml"):
        Path(name).write_text("steps: []")

    by_setting = planned(paths, pipeline_config=Path("setting.yml"))
    given = new_plan(paths, Path("given.yml"), LocalSettings(pipeline_config=Path("setting.yml")), STEPS)

    assert by_setting.config.endswith("setting.yml")
    assert given.config.endswith("given.yml")


def test_a_given_pipeline_that_is_no_file_is_refused(paths: StatePaths) -> None:
    with pytest.raises(BadSetting, match=r"nowhere\.yml"):
        new_plan(paths, Path("nowhere.yml"), LocalSettings(), STEPS)


def test_a_step_installed_since_is_added_and_nothing_else_changes(paths: StatePaths) -> None:
    plan = planned(paths)

    changed = changed_plan(plan, None, [*STEPS, InstalledStep("late", "late", "2.0")])

    assert changed.processes[:4] == plan.processes
    assert changed.processes[4].name == "step-late"
    assert changed.processes[4].env == plan.processes[3].env
    assert changed.revision == plan.revision + 1


def test_a_newer_version_of_a_step_is_another_process(paths: StatePaths) -> None:
    plan = planned(paths)

    changed = changed_plan(plan, None, [InstalledStep("filesystem", "codestory-filesystem", "1.1")])

    assert changed.processes[3] != plan.processes[3]


def test_another_pipeline_file_changes_the_orchestrator_alone(paths: StatePaths) -> None:
    plan = planned(paths)
    Path("other.yml").write_text("steps: []")

    changed = changed_plan(plan, Path("other.yml"), STEPS)

    assert changed.config == str(Path("other.yml").absolute())
    assert [a.name for a, b in zip(changed.processes, plan.processes, strict=True) if a != b] == ["orchestrator"]


def test_nats_stores_durably_and_within_the_disk(paths: StatePaths) -> None:
    planned(paths, local_nats_max_store_bytes=2**62)

    config = (paths.secrets / "nats.conf").read_text()
    limit = int(config.partition("max_file_store: ")[2].split()[0])
    disk = os.statvfs(paths.nats)
    assert "sync_interval: always" in config
    assert "127.0.0.1" in config
    assert 0 < limit < disk.f_blocks * disk.f_frsize


def test_a_lost_graph_password_makes_the_server_take_a_new_one(paths: StatePaths) -> None:
    users = paths.graph / "config" / "server-users.jsonl"
    users.parent.mkdir()
    users.write_text("{}")

    planned(paths)

    assert not users.exists()


def test_the_graphs_user_stays_while_its_password_is_known(paths: StatePaths) -> None:
    planned(paths)
    users = paths.graph / "config" / "server-users.jsonl"
    users.parent.mkdir()
    users.write_text("{}")

    planned(paths)

    assert users.exists()


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_LOCAL_GRAPH_HEAP", "lots")

    with pytest.raises(BadSetting, match="CODESTORY_LOCAL_GRAPH_HEAP"):
        LocalSettings.read()


def test_our_steps_are_installed() -> None:
    assert {"filesystem", "documentation_grapher"} <= {step.name for step in installed_steps()}
