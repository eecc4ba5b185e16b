"""The commands against a service: what is asked, what is printed where, and how they end."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from codestory.contracts.api import JobView, SubmitJob

Run = Callable[..., tuple[int, str, str]]
MakeJob = Callable[..., JobView]
Jobs = dict[str, list[JobView]]

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
CONFIG = "steps:\n  - name: filesystem\n"


@pytest.mark.parametrize("room", ["ingest", "graph", "service"])
def test_each_room_has_help(run: Run, room: str) -> None:
    _, rooms, _ = run("--help")
    code, out, err = run(room, "--help")

    assert (code, err) == (0, "")
    assert f"  {room} " in rooms
    assert "Commands:" in out


def test_the_version_is_said(run: Run) -> None:
    assert run("--version")[1].startswith("codestory 0.")


def test_a_repository_is_ingested_to_its_end(
    run: Run, repository: Path, jobs: Jobs, make_job: MakeJob, submitted: list[SubmitJob]
) -> None:
    jobs["next"] = [make_job(), make_job(state="COMPLETED", complete=True, ended_at=AT)]

    code, out, err = run("ingest", "start", str(repository))

    assert (code, out) == (0, "")
    assert submitted == [SubmitJob(repository=str(repository))]
    assert "documentation_grapher: RUNNING" in err
    assert "COMPLETED" in err


def test_the_request_is_what_was_typed(run: Run, repository: Path, submitted: list[SubmitJob]) -> None:
    code, _, _ = run(
        *("ingest", "start", repository.name, "--detach", "--name", "mine", "--steps", "filesystem,docs"),
        *("--priority", "high", "--option", "parallel=4", "--step-option", "filesystem.deep=true"),
    )

    assert code == 0
    assert submitted == [
        SubmitJob.model_validate(
            {
                "repository": str(repository),
                "name": "mine",
                "steps": ("filesystem", "docs"),
                "priority": "high",
                "options": {"parallel": 4},
                "step_options": {"filesystem": {"deep": True}},
            }
        )
    ]


def test_left_alone_the_id_is_all_there_is_on_stdout(run: Run, repository: Path) -> None:
    code, out, err = run("ingest", "start", str(repository), "--detach")

    assert (code, out) == (0, "job1\n")
    assert "codestory ingest watch job1" in err
    assert "codestory ingest cancel job1" in err


@pytest.mark.parametrize(
    ("state", "complete", "code"),
    [
        ("COMPLETED", True, 0),
        ("FAILED", False, 1),
        ("STOPPED", False, 1),
        ("CANCELLED", False, 1),
        ("COMPLETED", False, 3),
    ],
)
def test_the_exit_code_says_how_the_job_ended(
    run: Run, repository: Path, jobs: Jobs, make_job: MakeJob, *, state: str, code: int, complete: bool
) -> None:
    ended = make_job(state=state, complete=complete)
    jobs["next"] = [make_job(), ended]

    ran, out, _ = run("ingest", "start", str(repository), "--json")

    assert ran == code
    assert JobView.model_validate_json(out) == ended


def test_json_is_ascii_and_alone_on_stdout(run: Run, jobs: Jobs, make_job: MakeJob) -> None:
    jobs["job1"] = [make_job(message="\x1b[2J\x9b\u202e naïve")]

    _, out, err = run("ingest", "status", "job1", "--json")

    assert err == ""
    assert out.isascii()
    assert out.replace("\n", "").isprintable()
    assert json.loads(out)["message"] == "\x1b[2J\x9b\u202e naïve"


def test_the_pipeline_of_this_folder_is_used(
    run: Run, repository: Path, tmp_path: Path, submitted: list[SubmitJob]
) -> None:
    (tmp_path / "pipeline_config.yml").write_text(CONFIG)

    _, _, err = run("ingest", "start", str(repository), "--detach")

    assert submitted[0].pipeline is not None
    assert [step.name for step in submitted[0].pipeline.steps] == ["filesystem"]
    assert "Pipeline: pipeline_config.yml" in err


def test_a_pipeline_that_is_named_goes_first(
    run: Run, repository: Path, tmp_path: Path, submitted: list[SubmitJob]
) -> None:
    (tmp_path / "pipeline_config.yml").write_text(CONFIG)
    (tmp_path / "mine.yml").write_text("steps:\n  - name: docs\n")

    run("ingest", "start", str(repository), "--detach", "--config", "mine.yml")

    assert submitted[0].pipeline is not None
    assert [step.name for step in submitted[0].pipeline.steps] == ["docs"]


def test_a_mistake_in_the_pipeline_is_named_with_its_line(
    run: Run, repository: Path, tmp_path: Path, submitted: list[SubmitJob]
) -> None:
    (tmp_path / "pipeline_config.yml").write_text("steps:\n  - name: filesystem\n    concurrency: many\n")

    code, out, err = run("ingest", "start", str(repository))

    assert (code, out, submitted) == (2, "", [])
    assert "pipeline_config.yml:3: " in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "flask", "--config", "nowhere.yml"], "nowhere.yml"),
        (["start", "flask", "--option", "x"], "key=value"),
        (["start", "flask", "--step-option", "x=1"], "step.key=value"),
        (["start", "flask", "--steps", "No Step"], "steps.0"),
        (["start", "flask", "--priority", "urgent"], "urgent"),
        (["start"], "PATH"),
        (["status", "nojob"], "There is no job 'nojob'"),
        (["status", "\x1b[2J"], r"There is no job '\x1b[2J'"),
        (["watch", "../health"], "There is no job"),
        (["jobs", "--limit", "0"], "limit"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_use_is_a_sentence_and_2(
    run: Run, repository: Path, submitted: list[SubmitJob], arguments: list[str], said: str
) -> None:
    code, out, err = run("ingest", *arguments)

    assert repository.is_dir()
    assert (code, out, submitted) == (2, "", [])
    assert said in err
    assert "Traceback" not in err
    assert "\x1b" not in err


def test_what_the_service_refuses_is_told_in_its_words(run: Run, jobs: Jobs, make_job: MakeJob) -> None:
    jobs["job1"] = [make_job(state="COMPLETED")]

    code, out, err = run("ingest", "cancel", "job1")

    assert (code, out) == (2, "")
    assert err == "codestory: The job 'job1' is COMPLETED: nothing was changed.\n"


def test_a_job_can_be_named_by_how_it_begins(run: Run, jobs: Jobs, make_job: MakeJob) -> None:
    jobs.update({name: [make_job(id=name)] for name in ("abc1", "abd2", "xyz")})

    code, out, _ = run("ingest", "status", "abc", "--json")

    assert code == 0
    assert json.loads(out)["id"] == "abc1"


def test_a_beginning_of_several_jobs_is_refused_with_their_names(run: Run, jobs: Jobs, make_job: MakeJob) -> None:
    jobs.update({name: [make_job(id=name)] for name in ("abc1", "abd2", "xyz")})

    code, _, err = run("ingest", "cancel", "ab")

    assert code == 2
    assert "abc1, abd2" in err
    assert "xyz" not in err


@pytest.mark.parametrize(
    ("state", "said"), [("CANCELLED", "is cancelled"), ("CANCELLING", "is being cancelled"), ("RUNNING", "cancelled")]
)
def test_a_job_is_cancelled(
    run: Run, jobs: Jobs, make_job: MakeJob, *, cancelled: list[str], state: str, said: str
) -> None:
    jobs["job1"] = [make_job(), make_job(state=state)]

    code, out, _ = run("ingest", "cancel", "jo", "--no-wait")

    assert (code, cancelled) == (0, ["job1"])
    assert said in out


def test_the_newest_jobs_are_listed(run: Run, jobs: Jobs, make_job: MakeJob) -> None:
    jobs.update({f"job{n}": [make_job(id=f"job{n}")] for n in range(3)})

    code, out, _ = run("ingest", "jobs", "--limit", "2")
    _, as_json, _ = run("ingest", "jobs", "--limit", "2", "--json")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["Job", "job0", "job1"]
    assert [job["id"] for job in json.loads(as_json)["jobs"]] == ["job0", "job1"]


def test_a_job_that_others_started_can_be_watched(run: Run, jobs: Jobs, make_job: MakeJob) -> None:
    jobs["job1"] = [make_job(), make_job(state="COMPLETED", complete=True)]

    code, out, err = run("ingest", "watch", "job1")

    assert (code, out) == (0, "")
    assert "COMPLETED" in err


def test_no_service_at_the_named_address_is_4(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_URL", "http://127.0.0.1:9")

    codes = [run("ingest", *arguments)[0] for arguments in (["jobs"], ["start", str(repository)], ["status", "x"])]

    assert codes == [4, 4, 4]


def test_no_service_here_says_how_to_start_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODESTORY_URL")

    code, out, err = run("ingest", "jobs")

    assert (code, out) == (4, "")
    assert "codestory service start" in err


@pytest.mark.parametrize("url", ["nonsense", "ftp://host"])
def test_an_address_that_is_none_is_bad_use(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CODESTORY_URL", url)

    code, _, err = run("ingest", "jobs")

    assert code == 2
    assert url in err


def test_a_service_elsewhere_has_paths_of_its_own(run: Run, submitted: list[SubmitJob]) -> None:
    code, _, _ = run("ingest", "start", "/repositories/not-here", "--detach")

    assert code == 0
    assert submitted[0].repository == "/repositories/not-here"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "does not exist"),
        ("flask/app.py", "is not a directory"),
        ("empty", "is empty"),
        ("odd\udcff", "UTF-8"),
    ],
)
def test_a_path_here_is_looked_at_before_anything_starts(
    run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    monkeypatch.delenv("CODESTORY_URL")
    (repository.parent / "empty").mkdir()
    (repository.parent / "odd\udcff").mkdir()
    (repository.parent / "odd\udcff" / "app.py").touch()

    code, out, err = run("ingest", "start", path)

    assert (code, out) == (2, "")
    assert said in err
    assert not (repository.parent / "state").exists()


@pytest.mark.parametrize(("name", "value"), [("CODESTORY_DEBUG", "perhaps"), ("CODESTORY_PROGRESS_SECONDS", "soon")])
def test_a_setting_that_is_wrong_is_named(
    run: Run, jobs: Jobs, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, *, name: str, value: str
) -> None:
    jobs["job1"] = [make_job(state="COMPLETED")]
    monkeypatch.setenv(name, value)

    code, _, err = run("ingest", "watch", "job1")

    assert code == 2
    assert err.startswith(f"codestory: {name}: ")


def test_a_mistake_of_ours_is_one_line_and_a_file(
    run: Run, jobs: Jobs, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("codestory.cli.render.job", _raises)
    jobs["job1"] = [make_job()]

    code, _, err = run("ingest", "status", "job1")

    [details] = tmp_path.glob("codestory-*.log")
    assert code == 1
    assert err.splitlines() == [
        rf"codestory: unexpected error, a mistake of ours: KeyError: '\x1b[2J' (details: {details})"
    ]
    assert "Traceback" in details.read_text()


def test_a_traceback_is_shown_to_who_asks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_DEBUG", "1")

    _, _, err = run("ingest", "status", "nojob")

    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("codestory: There is no job")


def _raises(*_: Any) -> None:
    raise KeyError("\x1b[2J")
