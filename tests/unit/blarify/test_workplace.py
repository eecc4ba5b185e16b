"""Folders that leave nothing behind."""

import subprocess
import sys
from pathlib import Path

from codestory_blarify.workplace import private_folder, sweep

HOLD = (
    "import sys; from pathlib import Path; from codestory_blarify.workplace import private_folder\n"
    "with private_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'secret').write_text('x'); print(folder, flush=True); sys.stdin.read()"
)


def user_of_a_folder(place: Path) -> tuple["subprocess.Popen[str]", Path]:
    """A process that holds a folder until its stdin ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_private_and_goes_with_its_use(tmp_path: Path) -> None:
    with private_folder(tmp_path) as folder:
        (folder / "a").write_text("a")
        mode = folder.parent.stat().st_mode & 0o777

    assert mode == 0o700
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    killed, left = user_of_a_folder(tmp_path)
    living, used = user_of_a_folder(tmp_path)
    with living, killed:
        killed.kill()
        killed.wait()
        assert (left / "secret").exists()

        with private_folder(tmp_path):
            pass

        assert not left.exists()
        assert (used / "secret").exists()
        living.communicate()
    assert not list(tmp_path.iterdir())


def test_only_folders_of_ours_are_swept(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "codestory-blarify-file").write_text("a file of somebody's")
    target = tmp_path / "other" / "target"
    target.mkdir()
    (tmp_path / "codestory-blarify-link").symlink_to(target)

    sweep(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "codestory-blarify-file",
        "codestory-blarify-link",
        "other",
    ]
    assert target.exists()
