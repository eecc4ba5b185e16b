"""What a plan says before there is a job: the way through the steps, the files, and the routes that tell it."""

from pathlib import Path

from codestory.contracts.api import StepInfo, SubmitJob
from codestory.contracts.planning import Lag, PlanView
from codestory.contracts.plans import StepPlan
from codestory_orchestrator.planning import counted
from codestory_orchestrator.progress import estimates
from codestory_orchestrator.testing_api import ScriptedIngestion, call, problem

TREE = StepInfo(name="tree", version="1", options_schema={"properties": {"ignore": {}, "use_gitignore": {}}})
KNOWN = {"tree": TREE, "plain": StepInfo(name="plain", version="1")}
PLAIN = StepPlan(name="plain")


def tree(root: Path) -> str:
    for name, text in {"a.py": "12345", "docs/b.md": "123", "build/c.o": "1", ".gitignore": "build\n"}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return str(root)


def test_the_time_is_that_of_the_longest_way() -> None:
    plan = [
        StepPlan(name="a"),
        StepPlan(name="b", depends_on=("a",)),
        StepPlan(name="c", depends_on=("a",)),
        StepPlan(name="d", depends_on=("b", "c")),
    ]

    assert estimates.longest(plan, {"a": 1.0, "b": 5.0, "c": 2.0, "d": 3.0}) == 9.0
    assert estimates.longest([], {}) == 0.0


def test_files_are_counted_as_the_steps_would_find_them(tmp_path: Path) -> None:
    root = tree(tmp_path)
    ignoring = StepPlan(name="tree", options={"ignore": ["*.md"], "use_gitignore": True})

    assert counted(root, (PLAIN,), KNOWN, 10) == (3, 14, True)
    assert counted(root, (PLAIN, ignoring), KNOWN, 10) == (2, 11, True)
    assert counted(root, (StepPlan(name="tree", options={"use_gitignore": False}),), KNOWN, 10) == (4, 15, True)


def test_counting_ends_in_time_and_says_that_there_are_more(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number}.py").write_text("x")

    files, _, whole = counted(str(tmp_path), (PLAIN,), KNOWN, -1.0)

    assert (files, whole) == (256, False)


def test_what_is_not_there_yet_is_not_counted(tmp_path: Path) -> None:
    assert counted(str(tmp_path / "none"), (PLAIN,), KNOWN, 10) == (None, None, True)
    assert counted("", (PLAIN,), KNOWN, 10) == (None, None, True)


def test_a_pattern_that_no_step_would_take_is_left_to_them(tmp_path: Path) -> None:
    wrong = StepPlan(name="tree", options={"ignore": ["["], "use_gitignore": "no"})

    assert counted(tree(tmp_path), (wrong,), KNOWN, 10)[2] is False


async def test_a_plan_is_asked_for_as_a_job_is() -> None:
    ingestion = ScriptedIngestion()

    answer = await call("POST", "/v1/ingest/plan", ingestion, json={"repository": "/srv/shop", "steps": ["scan"]})

    assert answer.status_code == 200
    assert [step.name for step in PlanView.model_validate_json(answer.content).steps] == ["scan"]
    assert ingestion.asked == [SubmitJob(repository="/srv/shop", steps=("scan",))]


async def test_a_scaler_is_told_the_lag_and_nothing_else() -> None:
    answer = await call("GET", "/v1/ingest/scale/scan")
    unknown = await call("GET", "/v1/ingest/scale/scna")

    assert answer.json() == {"lag": 3} == Lag(lag=3).model_dump()
    assert (problem(unknown).status, problem(unknown).code) == (404, "step_not_found")
    assert "did you mean 'scan'?" in problem(unknown).detail
