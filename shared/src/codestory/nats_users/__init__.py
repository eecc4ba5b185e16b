"""The users of the message bus: what each may, their keys, and the server's configuration that says so."""


class NatsUsersError(Exception):
    """The users of the bus cannot be written."""
