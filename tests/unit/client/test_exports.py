"""The SDK's public surface is what it says it is."""

import re

from codestory import client
from codestory.client import _errors


def test_every_name_the_sdk_exports_is_there_and_in_order() -> None:
    assert [name for name in client.__all__ if not hasattr(client, name)] == []
    assert client.__all__ == sorted(client.__all__, key=str.lower)


def test_every_error_can_be_caught_as_one_and_stands_in_the_tree() -> None:
    errors = [value for value in vars(client).values() if isinstance(value, type) and issubclass(value, Exception)]
    tree = re.findall(r"^[│├└─ ]*(\w+)", _errors.__doc__ or "", re.MULTILINE)

    assert all(issubclass(error, client.CodeStoryError) for error in errors)
    assert {error.__name__ for error in errors} == set(tree[1:])


def test_every_error_says_in_a_sentence_what_it_means() -> None:
    errors = [value for value in vars(client).values() if isinstance(value, type) and issubclass(value, Exception)]

    assert [error.__name__ for error in errors if not (error.__doc__ or "").endswith(".")] == []
