"""What is no secret stays as it is, byte for byte."""

import sysconfig
from importlib.metadata import files
from pathlib import Path

import pytest

from codestory.redaction import redact


@pytest.mark.parametrize(
    "text",
    [
        "",
        "password = None",
        "password: str",
        "password: str | None = None",
        'password = ""',
        "password = get_password()",
        "password = settings.DATABASE_PASSWORD",
        'password = os.environ["DB_PASSWORD"]',
        'password = os.environ.get("DB_PASSWORD")',
        'password = "changeme"',
        'password = "<your password>"',
        'password = "${DB_PASSWORD}"',
        'password = "{{ vault.password }}"',
        'password = f"{password}"',
        'password = "%s"',
        'password = "********"',
        "password: Enter your password.",
        'label = "Password"',
        '{"password": "password"}',
        '{"type": "string", "name": "password", "required": true}',
        'fields = ["username", "password", "email"]',
        'fields = ("password1", "password2")',
        '<input type="password" name="password" id="id_password">',
        '<label for="id_password">Password</label>',
        'token_type = "Bearer"',
        'token = "else"',
        "token = next(tokens)",
        "tokens = tokenize(text)",
        'TOKEN_URL = "https://example.org/oauth/token"',
        'api_key_header = "X-API-Key"',
        'client_secret = "your-client-secret"',
        'key = "name"',
        "from secrets import token_hex",
        "secret = secrets.token_urlsafe(32)",
        "def check(password: str, *, salt: bytes = b'') -> bool: ...",
        "postgresql://localhost/app",
        "https://example.org:8080/path@2x.png",
        "postgres://user:password@localhost/app",
        "https://{user}:{password}@example.org",
        "git@github.com:someone/something.git",
        'sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
        '"integrity": "sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC"',
        'commit = "b201d3f58fb8f1b2b0b822cd15d6c15b0f00a08a"',
        'id = "123e4567-e89b-12d3-a456-426614174000"',
        "-----BEGIN CERTIFICATE-----\nMIIBszCCARygAwIBAgIUAwDwYDVQQDDAhsb2NhbGhvc3Qw\n-----END CERTIFICATE-----",
        '"-----BEGIN PRIVATE KEY-----" in text',
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "Authorization: Bearer <token>",
        'headers = {"Authorization": f"Bearer {token}"}',
        "task-force-of-many-words-in-one-long-identifier",
        '"the password, but you can change the password using <a href=\\"password/\\">this"',
        'User.objects.filter(password__startswith="md5$")',
        "the token is then passed on to the secret keeper",
    ],
)
def test_code_and_prose_without_secrets_do_not_change(text: str) -> None:
    redacted = redact(text)

    assert redacted.text == text
    assert not redacted
    assert redacted.counts == {}


def changed_lines(paths: list[Path]) -> tuple[int, int]:
    """How many lines there are, and how many of them redaction changes."""
    lines = changed = 0
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        before, after = text.split("\n"), redact(text).text.split("\n")
        assert len(before) == len(after)
        lines += len(before)
        changed += sum(one != other for one, other in zip(before, after, strict=True))
    return lines, changed


def test_of_the_standard_library_hardly_a_line_changes() -> None:
    library = Path(sysconfig.get_paths()["stdlib"])
    modules = [path for path in library.rglob("*.py") if not {"site-packages", "test", "tests"} & {*path.parts}]

    lines, changed = changed_lines(modules)

    assert lines > 100_000
    assert changed / lines < 0.0001


@pytest.mark.parametrize("package", ["httpx", "pydantic", "fastapi", "nats-py", "neo4j"])
def test_of_packages_that_deal_with_tokens_and_keys_hardly_a_line_changes(package: str) -> None:
    modules = [Path(str(file.locate())) for file in files(package) or [] if file.suffix == ".py"]

    lines, changed = changed_lines(modules)

    assert lines > 1000
    assert changed / lines < 0.001
