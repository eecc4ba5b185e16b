"""`codestory-step`: main.py, once SIGTERM is heard."""

from codestory import early_sigterm


def main() -> None:
    early_sigterm.handle()
    from codestory.steps.main import main as serve  # noqa: PLC0415 - it takes a second or two

    serve()
