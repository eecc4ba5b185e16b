"""The part of the server's configuration that names the users, as a text."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from codestory.nats_users.permissions import Permissions

ACCOUNT: Final = "CODESTORY"
#: Of the server's own account; it is no user of a stack.
SYSTEM: Final = "sys"
#: Begins the line that names the stack.
NAMESPACE: Final = "# namespace: "

_HEAD: Final = """\
# Who may use the message bus, and for what. Written by `codestory auth nats`, which keeps the keys beside it.
# It is written anew when a step is added: what is changed by hand is lost.
{namespace}
# In the server's own configuration: include "nats-auth.conf"
# Without a key nobody is let in: there is no user for those who bring none.
"""


def render(namespace: str, allowed: Mapping[str, Permissions], keys: Mapping[str, str]) -> str:
    """`keys`: public keys by user, the system's too."""
    users = "\n".join(_user(name, keys[name], may) for name, may in allowed.items())
    return f"""\
{_HEAD.format(namespace=NAMESPACE + namespace)}
accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    users: [
{users}
    ]
  }}
  SYS {{
    users: [
      # {SYSTEM}: the server itself
      {{ nkey: "{keys[SYSTEM]}" }}
    ]
  }}
}}
system_account: SYS
"""


def namespace_of(text: str) -> str:
    """Of a configuration that was written here; empty for any other."""
    lines = (line for line in text.splitlines() if line.startswith(NAMESPACE))
    return next(lines, "").removeprefix(NAMESPACE).strip()


def _user(name: str, key: str, may: Permissions) -> str:
    return f"""\
      # {name}
      {{
        nkey: "{key}"
        permissions: {{
          publish: {{ allow: [
{_listed(may.publish)}
          ] }}
          subscribe: {{ allow: [
{_listed(may.subscribe)}
          ] }}
        }}
      }}"""


def _listed(subjects: Iterable[str]) -> str:
    return "\n".join(f"            {json.dumps(subject)}" for subject in subjects)
