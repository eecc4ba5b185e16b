"""The W3C trace context that a submission bears: the job's traces link to it."""

import secrets
import sys

#: What a context may consist of.
HEADERS = ("traceparent", "tracestate")


def context() -> dict[str, str]:
    """Of the caller's span, where the program uses OpenTelemetry and is in one; else of a trace that begins here.

    Not imported for it: a program that uses it has loaded it already."""
    carrier: dict[str, str] = {}
    if propagate := sys.modules.get("opentelemetry.propagate"):
        propagate.inject(carrier)
    found = {name: carrier[name] for name in HEADERS if name in carrier}
    return found or {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}
