"""What is known to be a secret goes, however it is written; and what its name or an address says."""

import base64
import json
from urllib.parse import quote

import pytest
from pydantic import JsonValue

from codestory.redaction import Cleaner
from codestory.redaction.known import KNOWN, NAMED, secret_name

SECRET = "plain words, no form: Ülkü/42@x"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        *(base64.b64encode(b"x" * before + SECRET.encode() + b":more").decode() for before in range(3)),
        base64.urlsafe_b64encode(f"user:{SECRET}".encode()).decode(),
    ],
)
def test_a_known_secret_goes_however_it_is_written(written: str) -> None:
    cleaned = Cleaner([SECRET]).text(f"before {written} after")

    assert KNOWN in cleaned
    assert SECRET not in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


def test_of_secrets_within_each_other_nothing_is_left() -> None:
    cleaned = Cleaner(["abcdefgh", "defghijkl", "abcdef"]).text("1 abcdefghijkl 2 abcdef 3")

    assert cleaned == f"1 {KNOWN} 2 {KNOWN} 3"


def test_what_is_too_short_to_be_told_from_words_stays() -> None:
    assert Cleaner(["", "code"]).text("the code stays") == "the code stays"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("https://me:pass@host/x", "https://[REDACTED:userinfo]@host/x"),
        ("nats://t0ken@host:4222", "nats://[REDACTED:userinfo]@host:4222"),
        ("bolt://me:p@ss/word@host:7687, gone", "bolt://[REDACTED:userinfo]@host:7687, gone"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("https://host/x and me@example.org", "https://host/x and me@example.org"),
    ],
)
def test_an_address_loses_user_and_password(text: str, cleaned: str) -> None:
    assert Cleaner().text(text) == cleaned


def test_what_is_named_a_secret_goes_whatever_it_looks_like() -> None:
    said: JsonValue = {
        "password": "a",
        "nested": [{"api_key": ["b"], "n": 1}],
        "token_type": "c",
        "tokens": 7,
        "secret": None,
    }

    assert Cleaner().value(said) == {
        "password": NAMED,
        "nested": [{"api_key": [NAMED], "n": 1}],
        "token_type": "c",
        "tokens": 7,
        "secret": None,
    }


def test_names_of_things_are_cleaned_too() -> None:
    assert Cleaner([SECRET]).value({f"of {SECRET}": 1}) == {f"of {KNOWN}": 1}


@pytest.mark.parametrize("name", ["token_limit", "max_tokens", "tokens", "password_file", "content_key", "token_type"])
def test_a_name_that_is_about_a_secret_holds_none(name: str) -> None:
    assert not secret_name(name)


@pytest.mark.parametrize("name", ["neo4j_password", "CODESTORY_OPENAI_API_KEY", "client-secret", "auth_token", "pwd"])
def test_a_name_says_that_it_holds_a_secret(name: str) -> None:
    assert secret_name(name)
