"""`codestory auth keys`, in this process."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from codestory import api_keys
from codestory.cli.main import main
from codestory.contracts.values import now


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("CODESTORY_API_KEYS_FILE", str(path))
    return path


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["auth", "keys", *arguments])
    return int(ended.value.code or 0)


def test_a_key_is_shown_alone_on_stdout_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("create", "--owner", "team", "--role", "operator", "--expires", "90d", "--note", "CI") == 0

    said = capsys.readouterr()
    shown = api_keys.opened(said.out.strip())
    [key] = api_keys.read(file).keys
    assert shown
    assert key.hash == api_keys.digest(shown)
    assert (key.owner, key.role, key.note) == ("team", "operator", "CI")
    assert key.expires_at
    assert abs(key.expires_at - now() - timedelta(days=90)) < timedelta(minutes=1)
    assert shown.secret not in said.err


def test_the_list_shows_whose_they_are_and_no_hash(capsys: pytest.CaptureFixture[str]) -> None:
    _run("create", "--owner", "team", "--role", "viewer", "--json")
    made = json.loads(capsys.readouterr().out)

    assert _run("list", "--json") == 0
    [told] = json.loads(capsys.readouterr().out)["keys"]
    assert _run("list") == 0
    table = capsys.readouterr().out

    assert api_keys.opened(made.pop("key"))
    assert told == made
    assert not [name for name in told if "hash" in name]
    assert made["id"] in table
    assert "never" in table


def test_a_rotated_key_has_a_new_secret_and_the_same_id(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run("create", "--owner", "team", "--role", "operator")
    old = api_keys.opened(capsys.readouterr().out.strip())
    assert old

    assert _run("rotate", old.id, "--grace", "1h", "--expires", "7d") == 0
    new = api_keys.opened(capsys.readouterr().out.strip())

    [key] = api_keys.read(file).keys
    assert new
    assert (new.id, new.secret != old.secret) == (old.id, True)
    assert key.previous_hash == api_keys.digest(old)
    assert key.previous_until
    assert key.previous_until < datetime.now(UTC) + timedelta(hours=1, seconds=1)
    assert key.expires_at


def test_a_revoked_key_is_gone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run("create", "--owner", "team", "--role", "operator")
    shown = api_keys.opened(capsys.readouterr().out.strip())
    assert shown

    assert _run("revoke", shown.id) == 0
    assert _run("revoke", shown.id) == 2

    assert not api_keys.read(file).keys
    assert "There is no key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--owner", "", "--role", "viewer"), "owner"),
        (("create", "--owner", "a\nb", "--role", "viewer"), "owner"),
        (("create", "--owner", "team", "--role", "root"), "role"),
        (("create", "--owner", "team", "--role", "viewer", "--expires", "soon"), "countdown"),
        (("create", "--owner", "team", "--role", "viewer", "--expires", "9999999d"), "calendar"),
        (("rotate", "nope"), "There is no key"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert _run(*arguments) == 2

    assert said in capsys.readouterr().err
    assert not file.exists()


def test_without_a_file_the_command_says_where_to_name_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODESTORY_API_KEYS_FILE")

    assert _run("list") == 2

    assert "CODESTORY_API_KEYS_FILE" in capsys.readouterr().err
