"""TLS to the bus: whom we trust, who we are, and what to do about what is wrong with it."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_AUTHORITY: Final = "name who has signed it in CODESTORY_NATS_TLS_CA_FILE"
#: By OpenSSL's number for what is wrong with a certificate.
_ADVICE: Final = {
    9: "the clocks differ, or the certificate is not valid yet",
    10: "the server's certificate has expired: renew it, then `nats-server --signal reload`",
    18: _AUTHORITY,
    19: _AUTHORITY,
    20: _AUTHORITY,
    21: _AUTHORITY,
    62: "CODESTORY_NATS_URL must name the server as its certificate does",
    64: "CODESTORY_NATS_URL must name the server as its certificate does",
}
#: What a server says that wants to know who we are.
_CLIENT: Final = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "CERTIFICATE_EXPIRED")


def context(url: str, authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """None: TLS is not asked for. Raises OSError, of which ssl.SSLError is one, for files that hold something else."""
    if not (authority or certificate or url.startswith("tls://")):
        return None
    made = ssl.create_default_context(cafile=authority)
    if certificate:
        made.load_cert_chain(certificate, key, password="")  # otherwise a terminal is asked for it
    return made


def advice(error: Exception) -> str:
    """What to do about it; empty: it is not about TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _ADVICE.get(error.verify_code, f"the server's certificate is refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        if any(sign in str(error).upper().replace(" ", "_") for sign in _CLIENT):
            return "the server wants a certificate of ours that it trusts: CODESTORY_NATS_TLS_CERT_FILE"
        return "the server and CODESTORY_NATS_URL do not agree about TLS"
    return ""


async def refused(url: str, seconds: float) -> str:
    """Why the server of this URL must not be spoken to, going by its greeting; empty: it wants TLS.

    The client would go on in the open where the greeting does not ask for TLS, password and all. OSError, TimeoutError:
    it cannot be reached."""
    parts = urlsplit(url)
    async with asyncio.timeout(seconds):
        reading, writing = await asyncio.open_connection(parts.hostname, parts.port or 4222)
    try:
        async with asyncio.timeout(seconds):
            greeting = await reading.readline()
    except TimeoutError:
        return "the server does not greet: if its `tls` says handshake_first, set CODESTORY_NATS_TLS_FIRST=true"
    except (ConnectionError, ValueError):
        greeting = b""
    finally:
        writing.close()
    try:
        info: Any = json.loads(greeting.removeprefix(b"INFO "))
        asks = bool(info["tls_required"])
    except (ValueError, KeyError, TypeError):
        asks = False
    return "" if asks else "TLS is asked for, and the server has none: its configuration needs a block `tls`"
