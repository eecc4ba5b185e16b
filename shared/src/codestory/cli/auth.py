"""`codestory auth`: who may ask a service."""

import typer

from codestory.cli import auth_keys, auth_nats

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(auth_keys.app, name="keys", help="API keys: create, list, rotate, revoke.")
app.add_typer(auth_nats.app, name="nats", help="The users of the message bus: what each service may there.")
