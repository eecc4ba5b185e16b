"""How a path of the file system is written in the graph, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestory.files import paths

NAMES = st.binary(min_size=1, max_size=255).filter(lambda raw: b"/" not in raw and b"\0" not in raw)


@given(NAMES)
def test_every_name_leads_back_to_itself(raw: bytes) -> None:
    assert paths.unescape(paths.escape(raw)) == raw


@given(NAMES)
def test_what_reaches_the_graph_is_plain_text_on_one_line(raw: bytes) -> None:
    name = paths.escape(raw)

    assert name.encode("utf-8").decode("utf-8") == name
    assert "\0" not in name
    assert len(name.splitlines()) == 1


@given(NAMES, NAMES)
def test_two_names_never_get_one_spelling(one: bytes, other: bytes) -> None:
    assert (paths.escape(one) == paths.escape(other)) == (one == other)


@given(st.text())
def test_a_text_that_no_name_is_written_as_is_refused(text: str) -> None:
    try:
        raw = paths.unescape(text)
    except ValueError:
        return

    assert paths.escape(raw) == text


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"setup.py", "setup.py"),
        ("größe 漢字.md".encode(), "größe 漢字.md"),
        (b"caf\xe9.txt", r"caf\xe9.txt"),
        (b"two\nlines", r"two\x0alines"),
        (b"back\\slash", r"back\x5cslash"),
        (b"\\xe9", r"\x5cxe9"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        ("\u202etxt.exe".encode(), r"\xe2\x80\xaetxt.exe"),
        (b"src/a b/c", "src/a b/c"),
    ],
)
def test_names_are_written_as_documented(raw: bytes, name: str) -> None:
    assert paths.escape(raw) == name


@pytest.mark.parametrize("text", [r"a\x41", r"a\xzz", "back\\slash", "a\nb", "\ud800", r"a\x2fb", r"\xc3\xa9"])
def test_a_second_spelling_of_a_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        paths.unescape(text)


def test_parent_and_join_go_up_and_down() -> None:
    assert paths.join(paths.ROOT, "src") == "src"
    assert paths.join("src", "a.py") == "src/a.py"
    assert paths.parent("src/a.py") == "src"
    assert paths.parent("src") == paths.ROOT
