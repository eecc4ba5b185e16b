"""Which folders are never mounted into a container. Pure but for the home folder's place."""

import os
from pathlib import Path

from codestory.containers.errors import MountRefused

#: What belongs to the system: whoever asks for one of these, or for what lies in it, has mistyped or is attacking.
SYSTEM = (
    *(
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib32",
        "/lib64",
        "/proc",
        str(Path("/root", ".ssh")),
        "/run",
        "/sbin",
        "/sys",
        "/usr",
    ),
    *("/var/run", "/var/lib/docker", "/var/lib/containerd", "/run/docker", "/System", "/Library", "/private/etc"),
)
#: Folders that hold others' repositories and more: mount what is in them.
TOO_WIDE = (
    *("/", "/home", "/Users", "/mnt", "/media", "/opt", "/root", "/srv", "/var", "/private", "/Volumes"),
    "/tmp",  # noqa: S108  # not used as one
)


def refuse(path: Path, home: Path | None = None) -> Path:
    """The real folder behind `path`. Raises MountRefused, with the reason."""
    text = str(path)
    if ":" in text:
        raise MountRefused(
            f"{text!r} has a colon in its name, which separates the parts of a mount: rename the folder."
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in text) or not _is_text(text):
        raise MountRefused(f"{text!r} has control characters in its name, or is not UTF-8: rename the folder.")
    if "$" in text:
        raise MountRefused(f"{text!r} has a $ in its name, which Compose would replace: rename the folder.")
    real = Path(os.path.realpath(path))
    if str(real) != text:
        return refuse(real, home)
    home = Path(os.path.realpath(home or Path.home()))
    if real == home:
        raise MountRefused(
            f"{real} is your home folder: everything in it would be readable. Name the repository in it."
        )
    if str(real) in TOO_WIDE or home.is_relative_to(real):
        raise MountRefused(f"{real} holds more than a repository. Name the repository in it.")
    for system in SYSTEM:
        if real.is_relative_to(system) or real.is_relative_to(os.path.realpath(system)):
            raise MountRefused(f"{real} belongs to the system ({system}), and is never mounted.")
    hidden = real.relative_to(home).parts[:1] if real.is_relative_to(home) else ()
    if hidden and hidden[0] in {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config"}:
        raise MountRefused(f"{real} holds credentials or settings, and is never mounted.")
    if not real.is_dir():
        raise MountRefused(f"{real} is not a folder.")
    return real


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
