"""What is ignored: as git does it, and what else."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codestory.files import ignore, paths
from codestory.files.repository import Kind, RepositoryFiles, Walk
from codestory.step_errors import StepError

Tree = Callable[[dict[str, str]], Path]

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git on the PATH (apt-get install git)")
#: No setting of this machine or user.
GIT_ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    def make(contents: dict[str, str]) -> Path:
        for name, text in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def kept(root: Path, *patterns: str, use_gitignore: bool = True) -> set[str]:
    """The files, other than ignore files, that are not ignored."""
    walk = RepositoryFiles(root).walk(ignore=patterns, use_gitignore=use_gitignore)
    return {entry.path for entry in walk if entry.kind is Kind.FILE and not entry.name.endswith("ignore")}


def finished(root: Path) -> Walk:
    walk = RepositoryFiles(root).walk()
    for _ in walk:
        pass
    return walk


def test_git_names_what_is_ignored_at_every_level_and_a_deeper_file_has_the_last_word(tree: Tree) -> None:
    root = tree(
        {
            ".gitignore": "*.log\nbuild/\n/top\n",
            "a.log": "",
            "build/x": "",
            "top": "",
            "src/top": "",
            "src/.gitignore": "!keep.log\n*.tmp\n",
            "src/keep.log": "",
            "src/b.log": "",
            "src/c.tmp": "",
            "c.tmp": "",
        }
    )

    assert kept(root) == {"src/top", "src/keep.log", "c.tmp"}
    assert kept(root, use_gitignore=False) >= {"a.log", "build/x", "top", "src/b.log", "src/c.tmp"}


def test_what_is_ignored_is_counted_and_not_entered(tree: Tree) -> None:
    root = tree({".gitignore": "*.log\nbuild/", "a.log": "", "b.log": "", "build/x/y": "", "src/build/z": "", "c": ""})

    walk = finished(root)

    assert (walk.ignored_files, walk.ignored_directories) == (2, 2)


def test_gits_exclude_file_counts_after_every_gitignore(tree: Tree) -> None:
    root = tree({".git/info/exclude": "*.a\n*.b\n", ".gitignore": "!x.b\n", "x.a": "", "x.b": "", "y.b": ""})

    assert kept(root) == {"x.b"}


def test_git_itself_is_never_entered_whatever_a_rule_says(tree: Tree) -> None:
    root = tree({".git/config": "secret", "sub/.git": "gitdir: x", ".codestoryignore": "!.git\n!.git/\n", "a": ""})

    assert kept(root, "!.git", "!/.git/**") == {"a"}


def test_directories_that_hold_no_source_are_ignored_unless_taken_back(tree: Tree) -> None:
    root = tree({"node_modules/m/i.js": "", "src/__pycache__/a.pyc": "", ".venv/x": "", "a": "", "x/node_modules": ""})

    assert kept(root) == {"a", "x/node_modules"}
    assert kept(root, "!node_modules/") == {"a", "x/node_modules", "node_modules/m/i.js"}


def test_a_whitelist_in_gitignore_does_not_take_them_back(tree: Tree) -> None:
    root = tree({".gitignore": "*\n!*/\n!*.py\n", "a.py": "", "b.txt": "", "s/c.py": "", "node_modules/d.py": ""})

    assert kept(root) == {"a.py", "s/c.py"}


def test_a_virtual_environment_is_known_by_its_configuration_and_not_by_its_name(tree: Tree) -> None:
    root = tree({"env/pyvenv.cfg": "", "env/lib/x.py": "", "Lib/venv/__init__.py": ""})

    assert kept(root) == {"Lib/venv/__init__.py"}
    assert kept(root, "!env") == {"Lib/venv/__init__.py", "env/pyvenv.cfg", "env/lib/x.py"}
    assert finished(root).ignored_directories == 1


def test_our_own_ignore_file_decides_before_git(tree: Tree) -> None:
    root = tree(
        {
            ".codestoryignore": "*.md\n!generated/\n",
            ".gitignore": "generated/\n!*.md\n",
            "a.md": "",
            "generated/b.py": "",
            "generated/.codestoryignore": "*.txt\n",
            "generated/c.txt": "",
        }
    )

    assert kept(root) == {"generated/b.py"}
    assert kept(root, use_gitignore=False) == {"generated/b.py"}


def test_taking_a_directory_back_leaves_the_rules_for_what_is_in_it(tree: Tree) -> None:
    root = tree({".codestoryignore": "!out/\n", ".gitignore": "out/\n*.log\n", "out/a.log": "", "out/a.py": ""})

    assert kept(root) == {"out/a.py"}


def test_the_callers_patterns_decide_before_everything(tree: Tree) -> None:
    root = tree({".codestoryignore": "*.md\n", "a.md": "", "b.py": "", "v/c.py": ""})

    assert kept(root, "!a.md", "/v/") == {"a.md", "b.py"}


def test_a_callers_pattern_that_can_match_nothing_is_refused(tree: Tree) -> None:
    with pytest.raises(StepError, match=r"'\[a': has a bracket that is not closed"):
        kept(tree({"a": ""}), "*.py", "[a")


def test_a_pattern_may_name_what_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"caf\xe9*\n")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).touch()
    (tmp_path / "café.txt").touch()

    assert kept(tmp_path) == {"café.txt"}


def test_a_line_that_is_wrong_is_named_and_the_others_hold(tree: Tree) -> None:
    root = tree({"src/.gitignore": "*.log\n[a-\nends\\\n[[:nope:]]\n*.tmp", "src/a.log": "", "src/a.tmp": "", "b": ""})

    walk = finished(root)

    assert kept(root) == {"b"}
    assert [(problem.path, problem.line, problem.reason) for problem in walk.problems] == [
        ("src/.gitignore", 2, "has a bracket that is not closed"),
        ("src/.gitignore", 3, "ends with a backslash"),
        ("src/.gitignore", 4, "there is no character class [:nope:]"),
    ]


def test_an_ignore_file_that_cannot_be_read_is_named(tree: Tree) -> None:
    root = tree({"a": "", "b/c": "", "d/e": "", "f/g": ""})
    (root / ".gitignore").write_bytes("a\n".encode("utf-16"))
    (root / "b/.gitignore").symlink_to("/etc/hosts")
    os.mkfifo(root / "d/.gitignore")
    (root / "f/.gitignore").write_bytes(b"x\n" * (ignore.MAX_RULES + 1))

    walk = finished(root)

    assert [(problem.path, problem.line, problem.reason) for problem in walk.problems] == [
        (".gitignore", 0, "not text that git could read (UTF-16?)"),
        ("b/.gitignore", 0, "symbolic link"),
        ("d/.gitignore", 0, "not a regular file"),
        ("f/.gitignore", 0, "more than 10,000 lines"),
    ]


@pytest.mark.timeout(20)
def test_no_pattern_takes_long() -> None:
    name = "a" * 255
    rules, _ = ignore.parse(b"*a" * 100 + b"b\n" + b"**/a/" * 50 + b"b\n" + b"*[a-z]" * 50 + b"?b\n")

    assert rules.verdict([name] * 500, directory=False) is None


#: Each: the ignore files, and the files they are asked about.
CORPUS = {
    "comments and blanks": ({".gitignore": "# a\n\n  \n\\#b\n"}, ["a", "# a", "#b", "b"]),
    "negation": ({".gitignore": "*.a\n!x.a\n\\!y\n"}, ["x.a", "y.a", "!y", "y"]),
    "spaces": ({".gitignore": "a  \nb\\ \nc d\n\te\n"}, ["a", "a  ", "b", "b ", "c d", "e", "\te"]),
    "windows line ends": ({".gitignore": "a\r\n*.b\r\n"}, ["a", "x.b", "c"]),
    "byte order mark": ({".gitignore": "\ufeffa\nb\n"}, ["a", "b", "c"]),
    "anchors": ({".gitignore": "/a\nb/c\nd\n"}, ["a", "x/a", "b/c", "x/b/c", "d", "x/d"]),
    "directories": ({".gitignore": "a/\nb/c/\n"}, ["a/x", "y/a/x", "z/a", "b/c/d", "x/b/c/d", "y/b/c"]),
    "inside only": ({".gitignore": "a/*\n!a/keep\nb/**\n!b/keep\n"}, ["a/x", "a/keep", "b/x", "b/keep", "b/k/keep"]),
    "double star": ({".gitignore": "**/a\nb/**/c\nd/**\n**e\nf**\n"},
                    ["a", "x/a", "b/c", "b/x/y/c", "d/x", "xe", "fx"]),
    "triple star": ({".gitignore": "***/a\nb/***/c\n"}, ["a", "x/a", "b/c", "b/x/c"]),
    "question mark": ({".gitignore": "a?\nb?c\n"}, ["a", "ab", "abc", "b/c", "bxc", "aé"]),
    "sets": ({".gitignore": "[ab]x\n[!a]y\n[^a]z\n[]]q\n[a-c]r\n"},
             ["ax", "cx", "ay", "by", "az", "bz", "]q", "br", "dr"]),
    "classes": ({".gitignore": "[[:digit:]]x\n[[:upper:]_]y\n"}, ["1x", "ax", "Ay", "_y", "ay"]),
    "escapes": ({".gitignore": "\\*\na\\?b\n[\\]]\n[a\\-c]d\n"}, ["*", "x", "a?b", "axb", "]", "-d", "bd"]),
    "backward range": ({".gitignore": "[z-a]x\n[!z-a]y\n"}, ["zx", "bx", "ay"]),
    "slashes": ({".gitignore": "/\n//a\nb//\n/\n"}, ["a", "b/x", "c"]),
    "excluded parent": ({".gitignore": "a/\n!a/b\n"}, ["a/b", "a/c"]),
    "deeper wins": ({".gitignore": "*\n!*/\n!*.py\n", "a/.gitignore": "!*.txt\nx.py\n"},
                    ["a/x.py", "a/y.py", "a/z.txt", "z.txt"]),
    "deeper cannot see an excluded parent": ({".gitignore": "a\n", "a/.gitignore": "!b\n"}, ["a/b"]),
    "hidden": ({".gitignore": ".*\n!.gitignore\n"}, [".a", ".b/c", "d"]),
    "case": ({".gitignore": "A\n"}, ["a", "A"]),
}  # fmt: skip


def git_keeps(root: Path) -> set[str]:
    subprocess.run(["git", "init", "--quiet", root], check=True, env=GIT_ENVIRONMENT)
    command = ["git", "ls-files", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, check=True, env=GIT_ENVIRONMENT, capture_output=True).stdout
    return {paths.escape(path) for path in listed.split(b"\0") if path}


def we_keep(root: Path) -> set[str]:
    with RepositoryFiles(root) as files:
        return {entry.path for entry in files.walk() if entry.kind is Kind.FILE}


@needs_git
@pytest.mark.parametrize("case", CORPUS)
def test_every_kind_of_pattern_means_what_it_means_to_git(tree: Tree, case: str) -> None:
    rules, files = CORPUS[case]
    root = tree(dict.fromkeys(files, "") | rules)

    assert we_keep(root) == git_keeps(root)


ATOMS = [
    *("*", "**", "***", "?", "a", "b", "ab", "foo", "keep", "x", "é", "~", "-"),
    *("*.py", "*.log", "*a*b", "a*", "*b", "!n", "#h"),
    *("[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]", "[]a]", "[z-a]", "[!z-a]", "[a\\-c]", "[\\]]"),
    *("\\*", "\\!n", "\\#h", "a\\\\b"),
]
NAMES = ["a", "b", "ab", "a.py", "b.log", "foo", "keep", "x y", "[a]", "é", "a\\b", "-", "!n", "#h", "~", "aaab", "]"]


def random_pattern(source: random.Random) -> str:
    pattern = "/".join(source.choice(ATOMS) for _ in range(source.choice([1, 1, 1, 2, 2, 3])))
    before = source.choice(["", "", "", "/", "!", "!/"])
    return before + pattern + source.choice(["", "", "", "/", " ", "\\ ", "\r"])


def random_repository(source: random.Random, root: Path) -> None:
    directories = [root]
    for _ in range(source.randint(2, 7)):
        directory = source.choice(directories) / source.choice(NAMES)
        if not directory.exists():
            directory.mkdir()
            directories.append(directory)
    for _ in range(14):
        file = source.choice(directories) / source.choice(NAMES)
        if not file.exists():
            file.touch()
    for directory in source.sample(directories, min(len(directories), source.randint(1, 3))):
        (directory / ".gitignore").write_text("\n".join(random_pattern(source) for _ in range(source.randint(1, 5))))


@needs_git
def test_random_rules_on_random_trees_mean_what_they_mean_to_git(tmp_path: Path) -> None:
    for seed in range(100):
        root = tmp_path / str(seed)
        root.mkdir()
        random_repository(random.Random(seed), root)

        assert we_keep(root) == git_keeps(root), f"seed {seed}"
