"""Turns what was typed into what the API takes: options, lists of steps, ids by their beginning."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from codestory.cli import reach
from codestory.cli.exits import BadUse
from codestory.cli.text import plain
from codestory.client import Client, NotFound
from codestory.contracts.api import JobView
from codestory.contracts.plans import Options
from codestory.repository_identity import identify, is_elsewhere

#: How many of the newest jobs are searched for one whose id begins as typed: the longest list that the API gives.
SEARCHED = 200

Request = TypeVar("Request", bound=BaseModel)


def step_names(text: str) -> tuple[str, ...]:
    """`a,b` as a list of steps."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def options(pairs: Iterable[str]) -> Options:
    """`key=value` pairs. A value that is JSON is taken as such (`4`, `true`, `["a"]`), anything else as text."""
    found: Options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise BadUse(f"An option is given as key=value, not as '{plain(pair)}'.")
        if key in found:
            raise BadUse(f"The option '{plain(key)}' is given twice.")
        found[key] = _value(value)
    return found


def step_options(pairs: Iterable[str]) -> dict[str, Options]:
    """`step.key=value` pairs, by step."""
    by_step: dict[str, list[str]] = {}
    for pair in pairs:
        step, dot, rest = pair.partition(".")
        if not dot or "=" in step:
            raise BadUse(f"A step's option is given as step.key=value, not as '{plain(pair)}'.")
        by_step.setdefault(step, []).append(rest)
    return {step: options(rest) for step, rest in by_step.items()}


def dependencies(pairs: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`step=a,b` pairs: what each step waits for. `step=`: for nothing."""
    return {step: step_names(names) for step, names in _pairs(pairs, "A dependency", "step=a,b").items()}


def limits(pairs: Iterable[str]) -> dict[str, int | None]:
    """`tag=number` pairs. `tag=`: as the pipeline file says."""
    form = "A limit", "tag=number"
    return {tag: _number(text, *form) if text else None for tag, text in _pairs(pairs, *form).items()}


def concurrency(pairs: Iterable[str]) -> dict[str, int]:
    """`step=number` pairs."""
    form = "A concurrency", "step=number"
    return {step: _number(text, *form) for step, text in _pairs(pairs, *form).items()}


def checked(kind: type[Request], **fields: Any) -> Request:
    """The request, refused before anything starts if the service would refuse it."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(": ".join(filter(None, (_place(e["loc"]), e["msg"]))) for e in error.errors())
        raise BadUse(plain(wrong)) from error


def repository_path(typed: str, name: str | None) -> str:
    """The path as the service is told it. Looked at here, before anything starts, unless the service is elsewhere."""
    if is_elsewhere(typed):
        return typed
    path = Path(typed).absolute()
    if not reach.elsewhere():
        identify(path, name)
    return str(path)


def find_job(client: Client, typed: str) -> JobView:
    """The job with this id, or the only one whose id begins so."""
    try:
        return client.get(typed)
    except NotFound:
        found = [job for job in client.jobs(limit=SEARCHED) if typed and job.id.startswith(typed)]
    if len(found) == 1:
        return client.get(found[0].id)
    if found:
        several = ", ".join(plain(job.id) for job in found[:5])
        raise BadUse(f"Several jobs begin with '{plain(typed)}': {several}{' …' if len(found) > 5 else ''}")
    raise BadUse(f"There is no job '{plain(typed)}'. See: codestory ingest jobs")


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))


def _pairs(pairs: Iterable[str], what: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise BadUse(f"{what} is given as {form}, not as '{plain(pair)}'.")
        if key in found:
            raise BadUse(f"{what} of '{plain(key)}' is given twice.")
        found[key] = value
    return found


def _number(text: str, what: str, form: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise BadUse(f"{what} is given as {form}, and '{plain(text)}' is not a whole number.")
    return int(text)


def _value(text: str) -> JsonValue:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(constant: str) -> None:
    """NaN and Infinity are no JSON, whatever Python says."""
    raise ValueError(constant)
