"""All that a run has found, before it is made into rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from codestory_blarify.hierarchy import Hierarchy
from codestory_blarify.references import Engine, External, Reference, References
from codestory_blarify.shadow import Shadow

#: How the gap of a whole language begins.
NO_REFERENCES = "references of "


@dataclass
class Found:
    shadow: Shadow
    hierarchy: Hierarchy = field(default_factory=Hierarchy)
    #: By engine.
    references: dict[str, Sequence[Reference]] = field(default_factory=dict[str, Sequence[Reference]])
    #: Import path of each file that has one, by its path in the copy.
    modules: dict[str, str] = field(default_factory=dict[str, str])
    #: What the engines count themselves, by `engine.name`.
    counts: dict[str, int] = field(default_factory=dict[str, int])
    #: Languages that an engine has dealt with, well or not.
    engaged: set[str] = field(default_factory=set[str])

    def take(self, engine: Engine, references: References, *, externals: bool) -> None:
        kept = [one for one in references.found if externals or not isinstance(one.target, External)]
        self.references[engine.name] = kept
        self.modules |= references.modules
        self.counts |= {f"{engine.name}.{name}": count for name, count in references.counts.items()}
        self.engaged |= engine.languages
        for path, reason in references.problems:
            source = self.shadow.files.get(path)
            self.shadow.gap(source.path if source else path, f"references: {reason}", failed=True)

    def failed(self, engine: Engine, reason: str) -> None:
        """The hierarchy of its languages stands without references."""
        self.engaged |= engine.languages
        for language in sorted(engine.languages & self.shadow.languages):
            self.shadow.gap(f"{NO_REFERENCES}{language}", reason[:1024], failed=True)
