"""One document in, its title, sections and mentions out. Reads nothing but what it is given; never raises for text."""

from collections.abc import Callable
from dataclasses import dataclass

from codestory_docgrapher import formats, markdown, notebook, plain, rst
from codestory_docgrapher.document import Document, Outline
from codestory_docgrapher.limits import OutOfTime, cpu_limit
from codestory_docgrapher.notebook import NotANotebook
from codestory_docgrapher.outline import assemble

#: Takes secrets out of a text.
Redact = Callable[[str], str]

_READERS: dict[str, Callable[[str], Outline]] = {
    formats.MARKDOWN: markdown.read,
    formats.RST: rst.read,
    formats.TEXT: plain.read,
}


@dataclass(frozen=True)
class Bounds:
    """What one document may take and leave."""

    section_chars: int = 20_000
    cpu_seconds: float = 20.0


class Unparsable(Exception):
    """The document could not be parsed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(path: str, content: str, form: str, bounds: Bounds = Bounds(), *, redact: Redact = str) -> Document:
    """Raises `Unparsable` with a reason for the user; the same text always gives the same document."""
    try:
        with cpu_limit(bounds.cpu_seconds):
            return _parsed(path, content, form, bounds, redact)
    except OutOfTime as error:
        raise Unparsable(f"took more than {bounds.cpu_seconds:g} s to parse") from error
    except NotANotebook as error:
        raise Unparsable(str(error)) from error
    except RecursionError as error:
        raise Unparsable("nested too deeply") from error
    except Exception as error:
        # docutils and markdown-it raise whatever breaks in them (AssertionError, IndexError, KeyError …) on some
        # text. The text is a stranger's: one document must not end the whole step.
        raise Unparsable(f"the {form} parser broke on it ({type(error).__name__})") from error


def _parsed(path: str, content: str, form: str, bounds: Bounds, redact: Redact) -> Document:
    if form == formats.NOTEBOOK:
        text, outline, cells = notebook.read(content, redact)
        document = assemble(path, form, text, outline, max_chars=bounds.section_chars)
        return notebook.with_cells(document, cells)
    text = redact(content)
    return assemble(path, form, text, _READERS[form](text), max_chars=bounds.section_chars)
