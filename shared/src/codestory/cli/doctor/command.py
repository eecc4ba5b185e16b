"""Examines all of it and says what it found."""

from collections.abc import Iterator
from dataclasses import asdict

import typer

from codestory import local
from codestory.cli.doctor import machine, service, state
from codestory.cli.doctor.findings import Finding, fail, show
from codestory.cli.exits import BadUse, Exit
from codestory.cli.screen import out, write_json
from codestory.cli.settings import CliSettings, read


def doctor(*, as_json: bool) -> None:
    found = list(_examine())
    healthy = all(each.level != "fail" for each in found)
    if as_json:
        write_json({"healthy": healthy, "findings": [asdict(each) for each in found]})
    else:
        show(out(), found)
    raise typer.Exit(Exit.DONE if healthy else Exit.FAILED)


def _examine() -> Iterator[Finding]:
    """A setting that is wrong is a finding too, and the rest is looked at all the same."""
    try:
        settings = read(CliSettings)
    except BadUse as error:
        yield fail("settings", str(error), "unset the variable, or give it a value that it can have")
        settings = CliSettings.model_construct()
    yield from machine.look(settings)
    try:
        stack = local.LocalSettings.read()
    except local.BadSetting as error:
        yield fail("settings", str(error), "unset the variable, or give it a value that it can have")
        return
    yield from state.look(settings, stack)
    yield from service.look(settings, stack)
