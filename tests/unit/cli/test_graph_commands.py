"""The graph's commands where there is no graph: a sentence and the exit code. With one: see the end-to-end tests."""

from collections.abc import Callable

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("command", [["stats", "flask"], ["digest", "flask"], ["query", "flask", "RETURN 1"]])
def test_without_a_stack_it_says_how_to_start_one(run: Run, command: list[str]) -> None:
    code, out, err = run("graph", *command)

    assert (code, out) == (4, "")
    assert "codestory service start" in err


def test_a_graph_server_that_does_not_answer_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_NEO4J_URI", "bolt://127.0.0.1:9")

    code, out, err = run("graph", "stats", "flask")

    assert (code, out) == (4, "")
    assert "Traceback" not in err


def test_an_address_that_is_none_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESTORY_NEO4J_URI", "nonsense")

    code, _, err = run("graph", "digest", "flask")

    assert code == 4
    assert "nonsense" in err
