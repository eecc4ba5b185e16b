"""The key of a summary: a hash of everything that its text is made of, so that equal material has equal keys. Pure.

No key knows the repository, where it lies, or which machine made it: what a model said once is found again in every
run, branch and copy. docs/decisions/0014-keys-and-reuse.md says what goes in and why."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from codestory_summarizer.prompt import PROMPT_VERSION

#: Cycles of more members than this are loosened, and do not share their material if that is of no avail: an edit of
#: one of hundreds would have all of them made again, while each sees no more than the names of the others.
MAX_SHARED_CYCLE = 30


@dataclass(frozen=True, slots=True)
class Material:
    """Of one thing: who makes its summary, the hash of its own redacted texts, and what it depends on.

    `seen`: what those see of it that come no later. `dependencies`: relation, kind and name as the maker sees them, and
    the position of what is meant."""

    identity: str
    own: str
    seen: str = ""
    dependencies: Sequence[tuple[str, str, str, int]] = ()


def own(*texts: str) -> str:
    """The hash of a thing's own texts, in their order."""
    return _hash(texts)


def chain(materials: Sequence[Material], order: Iterable[Sequence[int]]) -> list[str]:
    """The key of each, `order` being the components; of what does not come before it each goes by what it sees."""
    keys = [""] * len(materials)
    for members in order:
        below = {
            member: sorted(  # equals in name have no order that is the same wherever they lie
                _hash([relation, kind, name, keys[at] or materials[at].seen])
                for relation, kind, name, at in materials[member].dependencies
            )
            for member in members
        }
        shared = _shared(members, materials, below)
        for member in members:
            material = materials[member]
            keys[member] = _hash([PROMPT_VERSION, material.identity, material.own, shared, *below[member]])
    return keys


def made_by_rules(key: str, text: str) -> str:
    """The key under which a text made by rules is stored. Rules also tell who uses a thing, which no key goes into."""
    return _hash([key, text])


def _shared(members: Sequence[int], materials: Sequence[Material], below: Mapping[int, Sequence[str]]) -> str:
    if not 1 < len(members) <= MAX_SHARED_CYCLE:
        return ""
    return _hash(sorted(_hash([materials[member].own, *below[member]]) for member in members))


def _hash(parts: Iterable[str]) -> str:
    """32 hex digits; the parts cannot run into each other."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
