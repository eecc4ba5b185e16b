"""What is told of a file from its bytes and its name."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestory_filesystem.content import content_type, measure
from codestory_filesystem.languages import extension_of, language_of


@given(st.binary(max_size=2_000), st.integers(min_value=1, max_value=50))
def test_the_blocks_it_comes_in_make_no_difference(data: bytes, size: int) -> None:
    blocks = [data[start : start + size] for start in range(0, len(data), size)]

    content = measure("name", blocks)

    assert content.sha256 == hashlib.sha256(data).hexdigest()
    assert content.size == len(data)
    if b"\0" not in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert content.lines == measure("name", [data] if data else []).lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", 0),
        (b"one", 1),
        (b"one\n", 1),
        (b"one\ntwo", 2),
        (b"\n\n", 2),
        (b"caf\xe9\n\xff\n", 2),
        ("ä\nöü\n".encode("utf-16"), 2),
        ("without a mark\n".encode("utf-16-be"), None),
        (b"\xfe\xff" + "\u0a0a\nlast".encode("utf-16-be"), 2),
        ("a\nb\n".encode("utf-32"), 2),
        (b"PK\x03\x04\0\n\n", None),
    ],
)
def test_lines_are_counted_in_text_and_in_nothing_else(data: bytes, lines: int | None) -> None:
    assert measure("name", [data] if data else []).lines == lines


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.py", b"x", "text/x-python"),
        ("a.md", b"x", "text/markdown"),
        ("a.ts", b"let x", "text/typescript"),
        ("a.unknown", b"x", "text/plain"),
        ("a.unknown", b"\0", "application/octet-stream"),
        ("Makefile", b"x", "text/plain"),
        ("a.txt", b"\0", "application/octet-stream"),
        ("a.mp4", b"version https://git-lfs.github.com/spec/v1\n", "text/plain"),
        ("a.png", b"\x89PNG\0", "image/png"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("a.tar.gz", b"\x1f\x8b\0", "application/gzip"),
        ("a.json", b"{}", "application/json"),
        ("a.yaml", b"a: 1", "application/yaml"),
    ],
)
def test_the_content_type_follows_name_and_content(name: str, data: bytes, expected: str) -> None:
    assert measure(name, [data]).content_type == expected


def test_without_a_look_the_content_type_follows_the_name() -> None:
    assert content_type("a.csv") == "text/csv"
    assert content_type("a") == "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.py", "py"),
        ("a.tar.GZ", "gz"),
        (".gitignore", ""),
        ("Makefile", ""),
        ("a.", ""),
        ("What is this. A sentence as a name", ""),
        (".eslintrc.json", "json"),
    ],
)
def test_the_extension_is_what_follows_the_last_dot(name: str, extension: str) -> None:
    assert extension_of(name) == extension


@pytest.mark.parametrize(
    ("name", "start", "language"),
    [
        ("a.py", b"", "Python"),
        ("a.PY", b"", "Python"),
        ("a.tsx", b"", "TypeScript"),
        ("a.h", b"", "C"),
        ("Dockerfile", b"", "Docker"),
        ("Dockerfile.dev", b"", "Docker"),
        ("Makefile.am", b"", "Makefile"),
        ("CMakeLists.txt", b"", "CMake"),
        ("notes.txt", b"", "Text"),
        ("run", b"#!/bin/sh\n", "Shell"),
        ("run", b"#!/usr/bin/env python3.12\n", "Python"),
        ("run", b"#!/usr/bin/env -S PYTHONPATH=. python3 -u\n", "Python"),
        ("run", b"#! /usr/local/bin/node --flag\n", "JavaScript"),
        ("run", b"#!/usr/bin/unheard-of\n", None),
        ("run.py", b"#!/bin/sh\n", "Python"),
        ("LICENSE", b"MIT", None),
    ],
)
def test_the_language_follows_the_name_else_the_first_line(name: str, start: bytes, language: str | None) -> None:
    assert language_of(name, start) == language


def test_what_is_not_text_has_no_language() -> None:
    assert measure("video.ts", [b"G\0\0"]).language is None
