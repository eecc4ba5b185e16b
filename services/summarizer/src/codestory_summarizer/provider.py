"""What makes a summary of a subject: a model behind an endpoint, or rules. One file each in `providers/`."""

from dataclasses import dataclass
from typing import Protocol

from codestory_summarizer.subject import Subject


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the endpoint counted them."""

    input: int = 0
    cached: int = 0
    output: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.input + other.input, self.cached + other.cached, self.output + other.output)


@dataclass(frozen=True, slots=True)
class Reply:
    """`truncated`: the model stopped at its limit. `shortened`: of the subject it saw only what it had room for."""

    text: str
    usage: Usage = Usage()
    truncated: bool = False
    model: str = ""  # as the endpoint names it
    shortened: bool = False


class Filtered(Exception):
    """The endpoint's content filter refused this subject. Asking again does not help."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.usage = usage or Usage()


class Unanswered(Exception):
    """This one subject got no usable answer, after all retries: garbage, or an error of this request alone."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.usage = usage or Usage()


class Provider(Protocol):
    """`identity` goes into every key: provider, model and whatever changes the text; never the endpoint or the key.

    `summarize` raises Filtered or Unanswered for this subject alone, StepError where nobody could go on (key refused,
    model unknown), TemporaryStepError where the endpoint stayed away."""

    identity: str
    #: Where code is sent, for people; empty: nowhere.
    destination: str

    def tokens(self, subject: Subject) -> int:
        """About how many tokens a summary takes, prompt and answer; 0 where there is no model."""
        ...

    async def summarize(self, subject: Subject) -> Reply: ...

    async def close(self) -> None: ...
