"""What of a repository reaches the programs, and what is said of the rest."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from codestory.contracts.results import Gap
from codestory.files.repository import RepositoryFiles
from codestory_blarify.shadow import Shadow, Source, copy, text_of

Tree = Callable[[Mapping[str, str | bytes]], Path]
LIMIT = 1_000


def shadow_of(root: Path) -> Shadow:
    copied = root.with_name("copy")
    copied.mkdir()
    with RepositoryFiles(root) as files:
        entries = list(files.walk(max_file_bytes=LIMIT))
        return copy(files, entries, copied, max_bytes=LIMIT, progress=unheard)


def unheard(done: int, total: int, path: str) -> None:
    pass


def names(shadow: Shadow) -> list[str]:
    return sorted(path.relative_to(shadow.tree).as_posix() for path in shadow.tree.rglob("*") if path.is_file())


def test_sources_are_copied_and_nothing_else(tree: Tree) -> None:
    configuration = ["pyproject.toml", "pyrefly.toml", "pyrightconfig.json", "setup.cfg", ".git/config", "README.md"]
    root = tree({"src/a.py": "a = 1\n", "web/b.tsx": "", "c.rs": "", **dict.fromkeys(configuration, "x")})

    shadow = shadow_of(root)

    assert names(shadow) == ["src/a.py", "web/b.tsx"]
    assert shadow.files == {"src/a.py": Source("src/a.py", "Python"), "web/b.tsx": Source("web/b.tsx", "TypeScript")}
    assert (shadow.skipped, shadow.failed) == ([], [])


def test_what_cannot_be_copied_is_named_with_its_reason(tree: Tree) -> None:
    root = tree({"big.py": "#" * (LIMIT + 1), "binary.py": b"a = 1\0", "data.bin": b"\0"})
    os.mkfifo(root / "pipe.py")
    (root / "out.py").symlink_to("/etc/passwd")
    (root / "in.py").symlink_to("big.py")

    shadow = shadow_of(root)

    assert names(shadow) == []
    assert sorted(shadow.skipped, key=lambda gap: gap.path) == [
        Gap(path="big.py", reason="larger than 1 kB"),
        Gap(path="binary.py", reason="binary content"),
        Gap(path="in.py", reason="symbolic link"),
        Gap(path="out.py", reason="symbolic link out of the repository"),
        Gap(path="pipe.py", reason="named pipe"),
    ]


def test_odd_names_get_others_in_the_copy_and_keep_theirs_in_the_graph(tree: Tree) -> None:
    root = tree({"tool.mjs": "", "A.PY": "", "_renamed/own.py": "", "übung.py": "", "script.rake": ""})
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.py")).write_text("a = 1\n")
    (root / "new\nline.py").write_text("")
    (root / f"{'long' * 62}.cjs").write_text("")

    shadow = shadow_of(root)

    graph_paths = {place: source.path for place, source in shadow.files.items()}
    renamed = {place for place in graph_paths if place.startswith("_renamed/")}
    assert {path: place for place, path in graph_paths.items() if place not in renamed} == {
        "tool.mjs": "tool.mjs.js",
        "A.PY": "A.PY.py",
        "übung.py": "übung.py",
        "script.rake": "script.rake.rb",
        f"{'long' * 62}.cjs": f"{'long' * 62}.cjs.js",
    }
    assert {graph_paths[place] for place in renamed} == {"_renamed/own.py", "caf\\xe9.py", "new\\x0aline.py"}
    assert names(shadow) == sorted(graph_paths)
    assert all(place.isascii() and place.endswith(".py") for place in renamed)


def test_a_name_that_the_copy_has_already_is_put_elsewhere(tree: Tree) -> None:
    root = tree({"a.mjs": "1\n", "a.mjs.js": "2\n"})

    shadow = shadow_of(root)

    texts = {source.path: (shadow.tree / place).read_text() for place, source in shadow.files.items()}
    assert texts == {"a.mjs": "1\n", "a.mjs.js": "2\n"}


@pytest.mark.parametrize(
    ("data", "text", "transcoded"),
    [
        (b"a\r\nb\rc\n", "a\nb\nc\n", False),
        (b"\xef\xbb\xbfa = '\xc3\xa9'\n", "a = 'é'\n", False),
        (b"# coding: cp1252\na = '\x80'\n", "# coding: cp1252\na = '€'\n", True),
        (b"a = '\xe9'\n", "a = 'é'\n", True),
        (b"# coding: nonsense\n\xe9", "# coding: nonsense\né", True),
        (b"# coding: utf-7\n+AAo-\xe9\n", "# coding: utf-7\n+AAo-é\n", True),
        ("a\n".encode("utf-16"), "a\n", True),
        (b"a\0b", None, False),
        (b"", "", False),
    ],
)
def test_a_source_is_read_in_its_encoding_and_keeps_its_lines(
    data: bytes, text: str | None, *, transcoded: bool
) -> None:
    assert text_of(data) == (text, transcoded)
