"""The same for the same text, twice is once, lines stay, and no text takes it long."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codestory.redaction import redact, scan
from codestory.redaction.scan import PASSES, found, lowered
from codestory.testing_secrets import corpus, private_key, written

SEED = corpus(7)
#: What rules look for, so that chance comes near secrets.
PIECES = st.sampled_from(
    [
        *(secret.value for secret in SEED),
        *(form for secret in SEED[::9] for form in written(secret).values()),
        private_key(7),
        *("password", "token", "api_key", "secret", "_pass", "://", ":", "=", " = ", ": ", '"', "'", "`", "\\", '\\"'),
        *("\n", "\r\n", "\u2028", "\x85", " ", "@", "(", ")", "[", "]", "{", "}", "[REDACTED:", "[REDACTED:password]"),
        *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "eyJ", ".", "a1B2c3D4e5F6", "İ", "ß", "\ud800"),
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=15).map("".join)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_what_is_redacted_stays_as_it_is(text: str) -> None:
    once = redact(text)

    again = redact(once.text)

    assert again.text == once.text
    assert not again


@given(TEXTS)
@settings(max_examples=80, deadline=None)
def test_lines_stay_where_they_are(text: str) -> None:
    redacted = redact(text).text

    assert len(redacted.splitlines()) == len(text.splitlines())
    assert redacted.count("\n") == text.count("\n")


@given(st.text())
@settings(max_examples=80, deadline=None)
def test_lower_case_moves_no_character(text: str) -> None:
    assert len(lowered(text)) == len(text)


def test_no_character_of_unicode_moves_another() -> None:
    moved = [code for code in range(sys.maxunicode + 1) if len(lowered(chr(code))) != 1]

    assert moved == []


def test_threads_get_the_same() -> None:
    texts = ["\n".join(written(secret).values()) for secret in corpus(3)[::4]]
    alone = [redact(text) for text in texts]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(redact, texts * 2))

    assert together == alone * 2


HOSTILE = [
    *("token=", 'token="', 'password = "', 'password="\\', "secret: '", "password\n", "password: |\n  ", 'pwd name="'),
    *("token[", "password: str ", "password {", "password=(", 'token="a" + ', 'password=\\"', "[REDACTED:password]"),
    *(
        "a",
        "A",
        "eyJ",
        "eyJ.",
        "eyJ" + "a" * 30 + ".",
        "xoxb-",
        "ya29.",
        "sl." + "a" * 90,
        "sig=",
        "sk-",
        "0:AA",
        "$6$",
    ),
    *(
        "://",
        "a://b:c",
        "http://u:p@",
        "bearer ",
        "basic ",
        '"auth": "',
        "curl -u a:",
        "azure a",
        "secret_access_key = ",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n", "Private-Lines: 1\n", "\u0130"),
    *('password="' + "ab1" * 5000 + '" ', 'key = "' + "x" * 16_000 + "\n", "password = 'Hunter2345' "),
]
#: What all texts of 40,000 characters together may take; a rule that goes astray takes that for one of them.
CPU_SECONDS = 60
PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
from codestory.redaction import redact
for piece in {pieces!r}:
    redact((piece * (40_000 // len(piece) + 1))[:40_000])
print("done")
"""


def test_hostile_texts_are_done_within_a_bound() -> None:
    program = PROGRAM.format(seconds=CPU_SECONDS, pieces=HOSTILE)

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: repr(piece)[:30])
def test_few_passes_are_enough(piece: str) -> None:
    text = (piece * (5000 // len(piece) + 1))[:5000]

    for _ in range(PASSES - 1):
        spans = scan.merged(found(text))
        text = scan.without(text, spans)

    assert found(text) == []


def test_a_long_line_of_code_is_read_to_its_end() -> None:
    secret = next(secret for secret in SEED if secret.kind == "github_classic").value
    line = "var a=function(b,c){return b?c:d};" * 30_000 + f'x("{secret}")'

    redacted = redact(line).text

    assert len(line) > 1_000_000
    assert redacted == line.replace(secret, "[REDACTED:github_token]")


def test_every_word_that_calls_a_detector_is_in_lower_case() -> None:
    words = [word for detector in scan.DETECTORS for word in detector.words]

    assert [word for word in words if lowered(word) != word or len(word) < 2] == []
