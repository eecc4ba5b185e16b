"""The W3C trace context that a submission bears: the job's traces link to it."""

import sys

#: What a context may consist of.
HEADERS = ("traceparent", "tracestate")


def context() -> dict[str, str]:
    """Of the caller's span, where the program uses OpenTelemetry and is in one. Else none: the service begins a trace.
    One made up here would name a span that nobody ever tells, and would decide in the service's place what is sampled.

    Not imported for it: a program that uses it has loaded it already."""
    carrier: dict[str, str] = {}
    if propagate := sys.modules.get("opentelemetry.propagate"):
        propagate.inject(carrier)
    return {name: carrier[name] for name in HEADERS if name in carrier}
