"""Takes secrets out of text before it is stored, hashed, prompted, logged or sent.

`redact(text)` puts `[REDACTED:kind]` where a secret was; lines, and whatever is no secret, stay as they are.
`Lines` does so for a stream. `secret_file(path)` says why a file is not to be read at all. `Cleaner` takes out known
secrets too."""

from codestory.redaction.filenames import secret_file
from codestory.redaction.known import Cleaner
from codestory.redaction.lines import Lines
from codestory.redaction.scan import Redacted, redact

__all__ = ["Cleaner", "Lines", "Redacted", "redact", "secret_file"]
