"""Where the servers of tests run is one variable."""

import pytest

from codestory.testing import SERVERS, NatsServer, servers_in_containers


@pytest.mark.parametrize(("said", "containers"), [("", False), ("local", False), ("containers", True)])
def test_the_variable_chooses(said: str, containers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVERS, said)

    assert servers_in_containers() is containers


def test_a_word_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVERS, "container")

    with pytest.raises(AssertionError, match="say containers, or local"):
        NatsServer()
