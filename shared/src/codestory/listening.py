"""What to say of an address that a service is set to listen on, and cannot."""


def refused(prefix: str, host: str, port: int, error: OSError) -> str:
    """`prefix`: of the names of its two settings."""
    return (
        f"{prefix}HOST={host} {prefix}PORT={port} cannot be listened on: {error.strerror}. "
        "Choose others, or end what listens there"
    )
