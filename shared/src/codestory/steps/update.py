"""How an attempt does its part: the whole or, in update mode and if what the graph holds of the step allows it, less.

What is known of a step's last whole run stands in the graph (`GraphWriter.recorded`): the step's version, a hash of its
options, and what the step itself wants to remember. Knows the graph's writer; knows no bus."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, JsonValue, ValidationError

from codestory.contracts.values import Mode, Value

if TYPE_CHECKING:
    from codestory.steps.step import AnyStep, StepContext, StepResult

#: Of what a step remembers. It is one property in the graph; more is not kept, and the step does without.
REMEMBERED_BYTES = 1_000_000
#: What a step that has no `update` of its own says of itself.
ALWAYS_WHOLE = "this step always computes the whole and writes the difference"


class Record(Value):
    version: str
    options: str
    remembered: dict[str, JsonValue] = {}


async def perform(step: "AnyStep", context: "StepContext[BaseModel]", mode: Mode, version: str) -> "StepResult":
    """One attempt, from its beginning to the record of its end."""
    options = _hash_of(context.options)
    has_content = bool(step.owns) or step.updates()
    if mode is Mode.FULL:
        result = await step.execute(context)
    elif has_content:
        result = await _updated(step, context, version, options)
    else:
        result = _said(await step.execute(context), {"whole": ALWAYS_WHOLE})
    if not has_content and not context.graph.used:
        return result  # it has nothing in the graph, which need not even be there
    record = Record(version=version, options=options, remembered=_kept(result.remember))
    await context.graph.complete(record.model_dump_json())
    return result


async def _updated(step: "AnyStep", context: "StepContext[BaseModel]", version: str, options: str) -> "StepResult":
    recorded = await context.graph.recorded()
    last = _read(recorded)
    why = _why_whole(recorded, last, version, options)
    if last is None or why:
        result = await step.execute(context)
        said = f"; the whole, not an update: {why}"
        return replace(_said(result, {"whole": why}), summary=result.summary[: 1000 - len(said)] + said)
    context.remembered = last.remembered
    result = await step.update(context)
    return result if step.updates() else _said(result, {"whole": ALWAYS_WHOLE})


def _why_whole(recorded: str | None, last: Record | None, version: str, options: str) -> str:
    """Empty: it may be updated."""
    if recorded is None:
        return "never ingested before"
    if last is None:
        return "the last run did not complete"
    if last.version != version:
        return f"the step's version changed: {last.version} → {version}"
    return "" if last.options == options else "options changed"


def _read(recorded: str | None) -> Record | None:
    try:
        return Record.model_validate_json(recorded or "")
    except ValidationError:
        return None


def _said(result: "StepResult", update: dict[str, JsonValue]) -> "StepResult":
    """First, so that no other detail takes its room."""
    return replace(result, details={"update": update, **result.details})


def _hash_of(options: BaseModel) -> str:
    text = json.dumps(options.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _kept(remember: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    kept = dict(remember)
    return kept if len(json.dumps(kept)) <= REMEMBERED_BYTES else {}
