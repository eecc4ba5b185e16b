"""One pass of an automaton for the words of all detectors; each looks only where one of its words stands."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from ahocorasick_rs import AhoCorasick, Implementation

from codestory.redaction import assignments, blocks, formats, vendors
from codestory.redaction.rules import Detector, Look, Span
from codestory.redaction.values import MARKER

#: Taking one secret out may show another. Each pass leaves less of the text, so few are ever needed.
PASSES = 10

DETECTORS: tuple[Detector, ...] = (
    *formats.DETECTORS,
    *vendors.DETECTORS,
    *blocks.DETECTORS,
    *assignments.DETECTORS,
)


def _by_word() -> dict[str, list[Look]]:
    looks: dict[str, list[Look]] = {}
    for detector in DETECTORS:
        for word in detector.words:
            looks.setdefault(word, []).append(detector.look)
    return looks


_WORDS, _LOOKS = zip(*sorted(_by_word().items()), strict=True)
_AUTOMATON = AhoCorasick(_WORDS, implementation=Implementation.DFA)


@dataclass(frozen=True)
class Redacted:
    """A text without secrets, and how many of each kind were taken out. False when there were none."""

    text: str
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def __bool__(self) -> bool:
        return bool(self.counts)


def redact(text: str) -> Redacted:
    """Put `[REDACTED:kind]` where a secret was. Pure; what is redacted already stays as it is."""
    counts = Counter[str]()
    for _ in range(PASSES):
        spans = merged(found(text))
        if not spans:
            break
        counts.update(span.kind for span in spans)
        text = without(text, spans)
    return Redacted(text, dict(sorted(counts.items())))


def found(text: str) -> list[Span]:
    """Every secret, in no order; some may overlap."""
    kept = [match.span() for match in MARKER.finditer(text)] if "[REDACTED:" in text else []
    spans: list[Span] = []
    for word, start, end in _AUTOMATON.find_matches_as_indexes(lowered(text), overlapping=True):
        if kept and _overlaps(kept, start, end):
            continue
        for look in _LOOKS[word]:
            span = look(text, start, end)
            if span and not (kept and _overlaps(kept, span.start, span.end)):
                spans.append(span)
    return spans


def lowered(text: str) -> str:
    """In lower case, with every character where it was."""
    if text.isascii():
        return text.lower()
    lower = text.replace("\u0130", "i").lower()  # the one letter that becomes two
    try:
        lower.encode()
    except UnicodeEncodeError:  # half a surrogate pair, as in names of files that are no text
        return lower.encode("utf-8", "replace").decode()
    return lower


def merged(spans: list[Span]) -> list[Span]:
    """Sorted, those that overlap made one, named by the best of them."""
    out: list[Span] = []
    for span in sorted(spans):
        if out and span.start < out[-1].end:
            best = min(out[-1], span, key=lambda each: each.rank)
            out[-1] = Span(out[-1].start, max(out[-1].end, span.end), best.kind, best.rank)
        else:
            out.append(span)
    return out


def without(text: str, spans: list[Span]) -> str:
    parts: list[str] = []
    at = 0
    for span in spans:
        breaks = "".join(char for char in text[span.start : span.end] if char.splitlines() == [""])
        parts += text[at : span.start], f"[REDACTED:{span.kind}]", breaks
        at = span.end
    return "".join((*parts, text[at:]))


def _overlaps(kept: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether one of these sorted spans shares a character with it."""
    after = bisect_left(kept, (end,))
    return after > 0 and kept[after - 1][1] > start
