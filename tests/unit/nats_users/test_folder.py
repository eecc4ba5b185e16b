"""The folder of keys and the configuration that is made from it."""

import asyncio
import json
import re
import stat
from pathlib import Path

import pytest

from codestory.bus_settings import BusSettings
from codestory.nats_users import NatsUsersError, folder
from codestory.nats_users.permissions import users

STEPS = ("blarify", "filesystem")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_user_has_a_key_of_its_own_that_only_its_owner_may_read(tmp_path: Path) -> None:
    written = folder.write(tmp_path / "keys", STEPS)

    assert written.seeds.keys() == {*("orchestrator", "step-blarify", "step-filesystem", "operator", "observer", "sys")}
    assert {mode(seed) for seed in written.seeds.values()} == {0o600}
    assert len({seed.read_text() for seed in written.seeds.values()}) == len(written.seeds)
    assert all(seed.read_text().startswith("SU") for seed in written.seeds.values())
    assert mode(tmp_path / "keys") == 0o700


def test_the_configuration_holds_no_secret(tmp_path: Path) -> None:
    written = folder.write(tmp_path, STEPS)
    text = written.config.read_text()

    assert not any(seed.read_text().strip() in text for seed in written.seeds.values())
    assert len(set(re.findall(r'nkey: "(U[A-Z2-7]{55})"', text))) == len(written.seeds)


def test_done_twice_it_is_done_once(tmp_path: Path) -> None:
    folder.write(tmp_path, STEPS, "mine")
    before = contents(tmp_path)

    again = folder.write(tmp_path, STEPS)

    assert contents(tmp_path) == before
    assert (again.made, again.namespace) == ((), "mine")


def test_a_step_that_was_added_stays_when_it_is_done_again(tmp_path: Path) -> None:
    folder.write(tmp_path, STEPS)
    added = folder.write(tmp_path, ("theirs",))

    folder.write(tmp_path, STEPS)

    assert added.made == ("step-theirs",)
    assert "codestory.evt.*.theirs.*" in added.config.read_text()
    assert "codestory.evt.*.blarify.*" in (tmp_path / folder.CONFIG).read_text()


def test_what_a_crash_left_out_is_made_and_a_key_that_others_could_read_is_closed(tmp_path: Path) -> None:
    written = folder.write(tmp_path, STEPS)
    written.config.unlink()
    written.seeds["observer"].unlink()
    written.seeds["operator"].chmod(0o644)
    kept = written.seeds["operator"].read_text()

    again = folder.write(tmp_path, STEPS)

    assert again.made == ("observer",)
    assert again.config.exists()
    assert mode(again.seeds["operator"]) == 0o600
    assert again.seeds["operator"].read_text() == kept


async def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    names = [f"step{number}" for number in range(8)]

    await asyncio.gather(*(asyncio.to_thread(folder.write, tmp_path, (name,)) for name in names))

    text = (tmp_path / folder.CONFIG).read_text()
    assert all(f"codestory.evt.*.{name}.*" in text for name in names)


@pytest.mark.parametrize("name", ["", "Job", "job", "a-b", "a.b", "*", ">", "../x", "a\n", "x" * 65])
def test_what_cannot_be_a_step_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(NatsUsersError, match="cannot be the name of a step"):
        folder.write(tmp_path / "keys", (name,))

    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("namespace", ["a.b", "*", "a b", 'x"', "x" * 65])
def test_what_cannot_be_a_namespace_is_refused(tmp_path: Path, namespace: str) -> None:
    with pytest.raises(NatsUsersError, match="cannot be a namespace"):
        folder.write(tmp_path, STEPS, namespace)


def test_the_folder_of_another_stack_is_left_alone(tmp_path: Path) -> None:
    folder.write(tmp_path, STEPS, "mine")
    before = contents(tmp_path)

    with pytest.raises(NatsUsersError, match="choose another folder"):
        folder.write(tmp_path, STEPS, "yours")

    assert contents(tmp_path) == before


@pytest.mark.parametrize("spoiled", ["", "nonsense", "SUABC", "\x00" * 58])
def test_a_file_that_holds_no_key_is_named_and_left_alone(tmp_path: Path, spoiled: str) -> None:
    seed = folder.write(tmp_path, STEPS).seeds["operator"]
    seed.write_text(spoiled)

    with pytest.raises(NatsUsersError, match=re.escape(str(seed))):
        folder.write(tmp_path, STEPS)

    assert seed.read_text() == spoiled


def test_a_configuration_that_somebody_else_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / folder.CONFIG).write_text("accounts { }\n")

    with pytest.raises(NatsUsersError, match="not written by this program"):
        folder.write(tmp_path, STEPS)

    assert (tmp_path / folder.CONFIG).read_text() == "accounts { }\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(NatsUsersError, match="cannot be written"):
        folder.write(tmp_path / "file" / "keys", STEPS)


def test_no_user_but_the_orchestrator_may_make_or_delete_anything_in_jetstream() -> None:
    for name, may in users("ns", ("a", "b")).items():
        verbs = [
            subject for subject in may.publish if re.search(r"\.(CREATE|UPDATE|DELETE|PURGE|RESTORE|PAUSE)\b", subject)
        ]
        assert bool(verbs) == (name == "orchestrator"), name
        assert ">" not in may.publish
        assert ">" not in may.subscribe


def test_settings_with_a_key_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "none"))):
        BusSettings(nats_nkey_seed_file=tmp_path / "none")


def test_with_a_key_answers_are_heard_where_only_its_user_hears(tmp_path: Path) -> None:
    seed = folder.write(tmp_path, STEPS).seeds["operator"]

    assert BusSettings().inbox_prefix_of("operator") == "_INBOX"
    assert BusSettings(nats_nkey_seed_file=seed).inbox_prefix_of("operator") == "_INBOX_operator"
    mine = BusSettings(nats_nkey_seed_file=seed, nats_inbox_prefix="_INBOX_x")
    assert mine.inbox_prefix_of("operator") == "_INBOX_x"


def test_subjects_are_written_so_that_the_server_reads_them_as_they_are(tmp_path: Path) -> None:
    text = folder.write(tmp_path, STEPS).config.read_text()

    assert json.dumps("$KV.codestory_steps.blarify") in text
