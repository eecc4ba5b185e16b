"""Whether anything that a run would read has changed since the last one, and what that one said."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, JsonValue, ValidationError

from codestory.contracts.results import Gap
from codestory.steps import StepResult
from codestory_blarify.found import NO_REFERENCES
from codestory_blarify.hierarchy import DIED, FAILED, TOO_LONG
from codestory_blarify.settings import BlarifySettings
from codestory_blarify.shadow import Shadow

#: Where an environment says what is installed in it, and in which versions.
_INSTALLED = "lib/python*/site-packages/*.dist-info"


class _Said(BaseModel):
    """Of a StepResult, what another run would say again."""

    summary: str
    counts: dict[str, int]
    skipped: tuple[Gap, ...]
    failed: tuple[Gap, ...]
    nodes: dict[str, int]
    relationships: dict[str, int]
    details: dict[str, JsonValue]


class _Remembered(BaseModel):
    sources: str
    programs: str
    said: _Said


@dataclass(frozen=True)
class Reading:
    """All that the result of a run depends on, but for its options and the step's version."""

    sources: str
    programs: str

    @classmethod
    def of(cls, shadow: Shadow, settings: BlarifySettings) -> "Reading":
        return cls(_hash_of(_said_of(shadow)), _programs(settings))

    def remember(self, result: StepResult) -> StepResult:
        """The result that the next run may give again. None that another try could better, and none of an environment
        that does not say what is in it."""
        if not self.programs or any(_may_pass(gap) for gap in result.failed):
            return result
        said = _Said.model_validate(result, from_attributes=True)
        said.details.pop("update", None)
        kept = _Remembered(sources=self.sources, programs=self.programs, said=said)
        return replace(result, remember=kept.model_dump(mode="json"))

    def known(self, remembered: Mapping[str, JsonValue]) -> StepResult | None:
        """What the last run said, if this one would read the same."""
        try:
            last = _Remembered.model_validate(remembered)
        except ValidationError:
            return None
        if (last.sources, last.programs) != (self.sources, self.programs):
            return None
        return StepResult(**dict(last.said), remember=remembered)


def _may_pass(gap: Gap) -> bool:
    """It is the machine's fault, or may be."""
    return gap.reason in {TOO_LONG, DIED} or gap.reason.startswith(FAILED) or gap.path.startswith(NO_REFERENCES)


def _said_of(shadow: Shadow) -> Iterable[bytes]:
    for place, source in shadow.files.items():
        content = hashlib.sha256((shadow.tree / place).read_bytes()).hexdigest()
        yield json.dumps([place, source.path, source.language, content]).encode()
    for kind, gaps in (("skipped", shadow.skipped), ("failed", shadow.failed)):
        yield json.dumps([kind, *([gap.path, gap.reason] for gap in gaps)]).encode()
    yield str(shadow.transcoded).encode()


def _programs(settings: BlarifySettings) -> str:
    """Empty: not known."""
    installed = sorted(path.name for path in settings.python.parent.parent.glob(_INSTALLED))
    return _hash_of(name.encode() for name in installed) if installed else ""


def _hash_of(parts: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part + b"\n")
    return whole.hexdigest()
