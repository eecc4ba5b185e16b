"""The header that makes it safe to send a request again whose answer was lost."""

from typing import Annotated

from fastapi import Header

#: How a route asks for it.
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="However often the same request comes with the same key, it makes one thing. For a day.",
    ),
]
