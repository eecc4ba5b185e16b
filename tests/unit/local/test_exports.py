"""What `codestory.local` promises is there, though it is loaded only when it is used."""

from codestory import local


def test_everything_that_is_promised_is_there() -> None:
    for name in local.__all__:
        assert callable(getattr(local, name)), name
