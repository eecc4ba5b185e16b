"""What the step says it did."""

from collections import Counter
from collections.abc import Mapping

from pydantic import JsonValue

from codestory.contracts.results import EXAMPLES
from codestory.graph import RelationshipType
from codestory.steps import StepResult
from codestory_blarify.found import Found
from codestory_blarify.rows import Rows


def result(found: Found, rows: Rows, written: Mapping[str, int], *, asked: bool) -> StepResult:
    """`asked`: for references."""
    shadow, definitions = found.shadow, found.hierarchy.definitions
    files = Counter(source.language for source in shadow.files.values())
    symbols: dict[str, Counter[str]] = {}
    for definition in definitions:
        symbols.setdefault(definition.language, Counter())[definition.label] += 1
    nodes = sum(symbols.values(), Counter[str]())
    references = sum(rows.references.values(), Counter[str]())
    without = {language: count for language, count in files.items() if language not in found.engaged}
    wrong: list[JsonValue] = [
        {"path": shadow.files[path].path, "line": line} for path, line in found.hierarchy.recovered[:EXAMPLES]
    ]
    details: dict[str, JsonValue] = {
        "symbols": {language: dict(sorted(symbols[language].items())) for language in sorted(symbols)},
        "references": {language: dict(sorted(by.items())) for language, by in sorted(rows.references.items())},
        "without_references": list[JsonValue](sorted(without)),
        "syntax_errors": wrong,
    }
    contained = sum(definition.parent is not None for definition in definitions)
    return StepResult(
        summary=_summary(files, nodes, references, without if asked else None),
        counts={
            "files": len(shadow.files),
            "symbols": len(definitions),
            "references": references.total(),
            "files.with_syntax_errors": len(found.hierarchy.recovered),
            "files.not_utf8": shadow.transcoded,
            **{f"files.{language}": count for language, count in sorted(files.items())},
            **{f"files.without_references.{language}": count for language, count in sorted(without.items())},
            **{f"redacted.{kind}": count for kind, count in sorted(rows.redacted.items())},
            **found.counts,
        },
        skipped=shadow.skipped,
        failed=shadow.failed,
        nodes={**nodes, **({"External": rows.externals} if rows.externals else {})},
        relationships={**({str(RelationshipType.CONTAINS): contained} if contained else {}), **references},
        written=written,
        details=details,
    )


def _summary(
    files: Counter[str], nodes: Counter[str], references: Counter[str], without: Mapping[str, int] | None
) -> str:
    """`without`: files without references by language; None if none were asked for."""
    if not files:
        return "no files in a language that Blarify parses"
    languages = ", ".join(f"{count:,} {language}" for language, count in files.most_common())
    symbols = ", ".join(f"{nodes[label]:,} {word}" for label, word in _WORDS.items() if nodes[label])
    said = f"{symbols or 'no symbols'} in {files.total():,} files ({languages})"
    if without is None:
        return f"{said}; references were not asked for"
    said += f"; {references.total():,} references between them"
    if without:
        said += f"; no references for {', '.join(sorted(without))}: there is no engine for that"
    return said


_WORDS = {"Class": "classes", "Function": "functions", "Method": "methods"}
