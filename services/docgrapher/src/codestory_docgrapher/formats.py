"""Which files are documentation, in which format, and their bytes as text.

- Markdown (`.md`, `.markdown`, `.mdx` …), reStructuredText (`.rst`, `.rest`) and notebooks (`.ipynb`) always are.
- Files named as projects name their documents (README, CHANGELOG, LICENSE …), with `.txt` or without an extension.
- Other `.txt` files: those below a folder for documentation (`doc`, `docs` …), and those that read as prose outside
  folders of tests. Never those that tools read (requirements.txt, CMakeLists.txt, robots.txt …).

Text whose markup is reStructuredText's is parsed as that, whatever its name: Django's documentation is.
"""

import codecs
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from codestory_docgrapher.places import SAMPLE_FOLDERS

MARKDOWN = "markdown"
RST = "restructuredtext"
TEXT = "text"
NOTEBOOK = "notebook"

_SUFFIXES = {
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "mdown": MARKDOWN,
    "mkd": MARKDOWN,
    "mdx": MARKDOWN,
    "rst": RST,
    "rest": RST,
    "ipynb": NOTEBOOK,
}
_DOCUMENT_NAME = re.compile(
    r"(readme|changes|changelog|history|news|release[-_ ]?notes|licen[cs]es?|copying|copyright|notice|authors"
    r"|contributors|contributing|credits|thanks|install|upgrading|todo|faq|security|support|maintainers|governance"
    r"|code[-_]of[-_]conduct|hacking|about|roadmap)([-_.][a-z0-9-]+)?",
    re.IGNORECASE,
)
_FOR_TOOLS = re.compile(
    r"(cmakelists|robots|humans|top_level|entry_points|dependency_links|namespace_packages|installed-files"
    r"|.*wordlist)\.txt",
    re.IGNORECASE,
)
#: For tools as well, unless there is reStructuredText in it.
_PERHAPS_FOR_TOOLS = re.compile(
    r"(.*requirements.*|constraints.*|sources|requires|runtime|version|manifest)\.txt", re.IGNORECASE
)
_DOCUMENTATION_FOLDERS = frozenset({"doc", "docs", "documentation", "manual", "manuals", "guide", "guides"})

#: Markup that plain text does not have: a directive or label at the start of a line, a role.
_RST_MARKUP = re.compile(r"^\.\. (?:[\w:+-]+::|_[^:\n]+:)|:[a-z][\w:+-]*:`[^`\n]", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{2,}")
#: Enough of a file to judge by.
_SAMPLE = 32_000


def may_be_document(path: str) -> bool:
    """By its name alone. Text files are looked into afterwards (`format_of`)."""
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    if ".egg-info/" in path or ".dist-info/" in path:
        return False
    if dot and stem and suffix.lower() in _SUFFIXES:
        return True
    if dot and suffix.lower() == "txt":
        return not _FOR_TOOLS.fullmatch(name)
    return _is_named_as_document(name)


def format_of(path: str, text: str, wanted: Sequence[str] = ()) -> str | None:
    """The format of a document; None where the text turns out not to be one. `wanted`: patterns that always are."""
    folder, _, name = path.rpartition("/")
    suffix = name.rpartition(".")[2].lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    sample = text[:_SAMPLE]
    folders = set(folder.lower().split("/"))
    known = _is_named_as_document(name.removesuffix(".txt")) or bool(folders & _DOCUMENTATION_FOLDERS)
    marked = bool(_RST_MARKUP.search(sample))
    if _PERHAPS_FOR_TOOLS.fullmatch(name) and not marked:
        known, sample = False, ""
    known = known or any(fnmatchcase(path, pattern) for pattern in wanted)
    if not known and (folders & SAMPLE_FOLDERS or not _reads_as_prose(sample)):
        return None
    return RST if marked else TEXT


def is_notebook(path: str) -> bool:
    return path.lower().endswith(".ipynb")


def text_of(data: bytes) -> tuple[str | None, bool]:
    """Bytes as text with line feeds for line ends, and whether some were replaced. None: this is not text.

    UTF-8, or UTF-16 where a byte order mark says so. The text never holds NUL or a lone surrogate.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
        if b"\0" in data[:8000]:
            return None, False
    try:
        text, lossy = data.decode(encoding), False
    except UnicodeDecodeError:
        text, lossy = data.decode(encoding, "replace"), True
    lossy = lossy or "\0" in text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\r\n", "\n").replace("\r", "\n"), lossy


def selected(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether the patterns of the options let this path be a document."""
    if any(fnmatchcase(path, pattern) for pattern in exclude):
        return False
    return may_be_document(path) or any(fnmatchcase(path, pattern) for pattern in include)


def _is_named_as_document(name: str) -> bool:
    """README, LICENSE-MIT, COPYING.LESSER; not license.py, README.html, history."""
    match = _DOCUMENT_NAME.fullmatch(name)
    if match is None:
        return False
    _, dot, suffix = name.partition(".")
    return name[0].isupper() and (not dot or suffix.upper() == suffix)


def _reads_as_prose(text: str) -> bool:
    lines = [line for line in text.split("\n")[:200] if line.strip()]
    sentences = sum(len(_WORD.findall(line)) >= 4 for line in lines)
    return bool(lines) and 2 * sentences >= len(lines)
