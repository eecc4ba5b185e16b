"""How the graph's settings are read."""

from pathlib import Path

import pytest

from codestory.graph import GraphSettings, GraphUnavailable, connect


def test_the_password_file_wins_and_the_password_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from the file\n")

    settings = GraphSettings.model_validate({"neo4j_password": "from the variable", "neo4j_password_file": file})

    assert settings.password() == "from the file"
    assert "from the variable" not in repr(settings)


def test_a_password_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings = GraphSettings(neo4j_password_file=tmp_path / "none")

    with pytest.raises(GraphUnavailable, match="password file"):
        settings.password()


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(GraphUnavailable, match="address of the graph"):
        connect(GraphSettings(neo4j_uri="http://example.org", neo4j_password_file=None))
