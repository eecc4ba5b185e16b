"""Every kind of secret is taken out, in every syntax in which it can be known."""

import pytest

from codestory.redaction import redact
from codestory.testing_secrets import Secret, corpus, hidden, private_key, written

SECRETS = corpus()
#: So much of a secret in one piece must not be left.
PIECE = 10


def left(secret: Secret, text: str) -> bool:
    value = hidden(secret)
    pieces = {value[at : at + PIECE] for at in range(max(1, len(value) - PIECE + 1))}
    return any(piece in text for piece in pieces)


def test_the_corpus_has_many_kinds() -> None:
    kinds = {secret.kind for secret in SECRETS}

    assert len(kinds) >= 100
    assert sum(secret.by_form for secret in SECRETS) >= 60


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.kind)
def test_nothing_of_a_secret_is_left_in_any_syntax(secret: Secret) -> None:
    redacted = {syntax: redact(text).text for syntax, text in written(secret).items()}

    assert {syntax: text for syntax, text in redacted.items() if left(secret, text)} == {}


@pytest.mark.parametrize("seed", range(2, 4))
def test_other_secrets_of_the_same_kinds_are_found_too(seed: int) -> None:
    texts = [(secret, text) for secret in corpus(seed) for text in written(secret).values()]

    survivors = [(secret.kind, text) for secret, text in texts if left(secret, redact(text).text)]

    assert survivors == []


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.kind)
def test_only_the_secret_goes(secret: Secret) -> None:
    text = f'before = 1\n{secret.name.upper()} = "{secret.value}"\nafter = "yes"\n'

    redacted = redact(text).text

    assert redacted.startswith(f"before = 1\n{secret.name.upper()} = ")
    assert redacted.endswith('"\nafter = "yes"\n')


def test_all_secrets_of_one_text_are_found_together() -> None:
    secrets = corpus()
    text = "\n".join(form for secret in secrets for form in written(secret).values())

    redacted = redact(text)

    assert [secret.kind for secret in secrets if left(secret, redacted.text)] == []
    assert redacted.text.count("\n") == text.count("\n")


def test_what_was_found_is_counted_by_kind() -> None:
    texts = {secret.kind: secret.value for secret in SECRETS}

    redacted = redact(f"a {texts['github_classic']} b {texts['github_oauth']} c {texts['npm']}")

    assert redacted
    assert redacted.counts == {"github_token": 2, "npm_token": 1}
    assert redacted.text == "a [REDACTED:github_token] b [REDACTED:github_token] c [REDACTED:npm_token]"


def test_what_follows_a_literal_is_none_of_it() -> None:
    text = '"""Doc.\n\n    PASSWORD = \'Hunter2345\'\n"""\nrest = "other"\n'

    assert redact(text).text == text.replace("Hunter2345", "[REDACTED:password]")


@pytest.mark.parametrize("what", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n"])
def test_a_private_key_goes_and_its_lines_stay(what: str, line_break: str) -> None:
    key = private_key(what=what).replace("\n", line_break)
    text = f'KEY = """{key}"""\nafter = 1\n'

    redacted = redact(text).text

    assert redacted.splitlines()[-1] == "after = 1"
    assert len(redacted.splitlines()) == len(text.splitlines())
    assert not any(line in redacted for line in private_key(what=what).splitlines())


def test_a_private_key_without_an_end_goes_too() -> None:
    *lines, _ = private_key().splitlines()

    redacted = redact("\n".join(lines))

    assert redacted.counts == {"private_key": 1}
    assert not any(line in redacted.text for line in lines)


def test_a_private_key_as_a_concatenation_of_strings_goes() -> None:
    text = "key = (\n" + "\n".join(f'    "{line}\\n"' for line in private_key().splitlines()) + "\n)\n"

    redacted = redact(text).text

    assert not any(line in redacted for line in private_key().splitlines()[1:-1])
    assert redacted.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        'password = "Hunter" "2345"',
        "password = ('Hunter'\n    '2345')",
        'const password = "Hunter" + "2345";',
        'DB = {"password": "Hunter\\"2345"}',
        "password: |\n  Hunter2345\n",
        'conn = "Server=db;User=sa;Password=Hunter2345;"',
        'url = "/login?user=a&password=Hunter2345&next=/"',
        'os.environ.get("DB_PASSWORD", "Hunter2345")',
        'password = os.environ.get("DB_PASSWORD") or "Hunter2345"',
        "const password = process.env.PASSWORD || 'Hunter2345';",
        'password = env("PASSWORD", default="Hunter2345")',
        'password = SecretStr("Hunter2345")',
        'if password == "Hunter2345":',
        'client.setPassword("Hunter2345");',
        "curl -u admin:Hunter2345 http://localhost",
        'run(["mysql", "--password", "Hunter2345"])',
        'ENV = ["DB_PASSWORD=Hunter2345"]',
        '{"cells": [{"source": ["DB_PASSWORD=Hunter2345\\n", "x\\n"]}]}',
        'password = """Hunter2345"""',
        "password = 'Hunter2345",
        'x = b"password=Hunter2345;"',
    ],
)
def test_a_password_is_found_however_it_is_written(text: str) -> None:
    redacted = redact(text).text

    assert "Hunter" not in redacted
    assert "2345" not in redacted
