"""API keys: the file, its editors, and how the orchestrator reads it."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from codestory import api_keys
from codestory.api_keys import ApiKey, KeyFileError, KeyRing, Shown, editing
from codestory.api_keys.modes import exposed
from codestory.contracts.access import Role
from codestory.contracts.values import now
from codestory_orchestrator.access.keys import Keys
from codestory_orchestrator.errors import Unauthenticated

HOUR = timedelta(hours=1)


def _made(path: Path, **more: Any) -> tuple[ApiKey, Shown]:
    asked: dict[str, Any] = {"owner": "team", "role": Role.OPERATOR, "at": now()} | more
    key, shown = api_keys.made(**asked)
    editing.change(path, lambda ring: ring.model_copy(update={"keys": (*ring.keys, key)}))
    return key, shown


def _takes(keys: Keys, shown: Shown) -> bool:
    try:
        keys.grant(str(shown))
    except Unauthenticated:
        return False
    return True


def test_of_a_key_only_its_hash_is_kept_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "made" / "keys.json"

    key, shown = _made(path)

    assert shown.secret not in path.read_text()
    assert key.hash in path.read_text()
    assert not exposed(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert shown.secret not in repr(shown)


def test_a_key_is_known_by_what_was_shown_and_by_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, shown = _made(path)
    keys = Keys(path, 0)

    assert keys.grant(str(shown)).principal.owner == "team"
    for other in (
        Shown(key.id, "x" * 43),
        Shown("abcdef", shown.secret),
        Shown(key.id, shown.secret[:-1] + ("A" if shown.secret[-1] != "A" else "B")),
    ):
        assert not _takes(keys, other)


def test_a_key_is_not_taken_after_its_end(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, ended = _made(path, expires_at=now() - timedelta(seconds=1))
    ends, living = _made(path, expires_at=now() + HOUR)
    keys = Keys(path, 0)

    assert not _takes(keys, ended)
    assert keys.grant(str(living)).expires_at == ends.expires_at


def test_a_rotated_key_takes_both_secrets_for_its_grace_and_then_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, old = _made(path, expires_at=now() + 2 * HOUR)
    keys, at = Keys(path, 0), now()
    ring, new = api_keys.rotated(api_keys.read(path), key.id, at=at, grace=HOUR)
    editing.change(path, lambda _: ring)

    assert keys.grant(str(new)).expires_at == key.expires_at
    assert keys.grant(str(old)).expires_at == at + HOUR
    assert keys.grant(str(old)).proof != keys.grant(str(new)).proof

    ring, newest = api_keys.rotated(api_keys.read(path), key.id, at=now(), grace=timedelta(0))
    editing.change(path, lambda _: ring)

    assert [_takes(keys, shown) for shown in (old, new, newest)] == [False, False, True]


def test_what_was_let_in_with_a_key_ends_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, shown = _made(path)
    keys = Keys(path, 0)
    grant = keys.grant(str(shown))

    assert keys.still_has(grant)

    editing.change(path, lambda ring: ring.model_copy(update={"keys": (key.model_copy(update={"role": Role.VIEWER}),)}))
    assert not keys.still_has(grant)

    editing.change(path, lambda ring: api_keys.without(ring, key.id))
    assert not keys.still_has(grant)


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"version": 2}', '{"keys": [{"id": "x"}]}', "\x00"])
def test_a_file_that_breaks_leaves_the_keys_known_before_until_it_is_mended(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "keys.json"
    _, shown = _made(path)
    keys, good = Keys(path, 0), path.read_text()

    path.write_text(broken)
    assert _takes(keys, shown)
    assert "keys.json" in keys.problem

    path.unlink()
    assert _takes(keys, shown)
    assert keys.problem

    path.write_text(good)
    assert _takes(keys, shown)
    assert not keys.problem


def test_a_file_that_is_not_there_yet_lets_nobody_in_until_it_is(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json", 0)

    assert keys.problem
    _, shown = _made(tmp_path / "keys.json")
    assert _takes(keys, shown)


def test_a_file_that_others_may_read_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _made(path)
    path.chmod(0o644)

    assert exposed(path)


def test_no_id_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = _made(path)
    path.write_text(json.dumps({"keys": [key.model_dump(mode="json")] * 2}))

    with pytest.raises(KeyFileError, match="twice"):
        api_keys.read(path)


def test_a_mistake_in_the_file_is_told_without_what_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [{"id": "abcd", "owner": "hunter2"}]}')

    with pytest.raises(KeyFileError) as told:
        api_keys.read(path)

    assert "hunter2" not in str(told.value)
    assert "keys.0." in str(told.value)


def test_an_editor_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _made(path)
    before = path.read_text()

    with pytest.raises(KeyFileError, match="nope"):
        editing.change(path, lambda ring: api_keys.without(ring, "nope"))

    assert path.read_text() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".keys.json.lock", "keys.json"]


def test_an_empty_ring_survives_being_written(tmp_path: Path) -> None:
    assert editing.change(tmp_path / "keys.json", lambda ring: ring) == KeyRing()
    assert api_keys.read(tmp_path / "keys.json") == KeyRing()


def test_several_programs_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    command = (sys.executable, "-m", "codestory.cli.main", "auth", "keys", "create")
    environment = {**os.environ, "CODESTORY_API_KEYS_FILE": str(path)}

    running = [
        subprocess.Popen(
            [*command, "--owner", f"team-{number}", "--role", "operator"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for number in range(4)
    ]
    shown = [process.communicate(timeout=60)[0].decode().strip() for process in running]

    keys = Keys(path, 0)
    assert [keys.grant(text).principal.owner for text in shown] == [f"team-{number}" for number in range(4)]
