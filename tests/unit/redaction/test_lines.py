"""A stream is redacted line by line; a private key in it goes whole."""

from codestory.redaction import Lines
from codestory.testing_secrets import corpus, hidden, private_key


def test_a_secret_in_a_line_goes() -> None:
    secret = next(secret for secret in corpus() if secret.kind == "postgres_url")

    line = Lines().redact(f"cannot connect to {secret.value}: timed out")

    assert hidden(secret) not in line
    assert line.startswith("cannot connect to postgresql://app:[REDACTED:")
    assert line.endswith(": timed out")


def test_the_lines_of_a_private_key_go() -> None:
    key = private_key().splitlines()
    lines = Lines()

    out = [lines.redact(line) for line in ["before", *key, "after it", key[1]]]

    assert out[0] == "before"
    assert out[2:-3] == ["[REDACTED:private_key]"] * (len(key) - 2)
    assert out[-2:] == ["after it", key[1]]
