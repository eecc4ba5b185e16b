"""What every test has: an environment without the user's settings, and the whole stack where it is asked for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from codestory.testing import EmbeddedStack


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_user() -> Iterator[None]:
    """CODESTORY_* of the person who runs the tests changes none of them. CODESTORY_TEST_* is meant for tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("CODESTORY_") and not name.startswith("CODESTORY_TEST_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """The embedded stack: NATS, a graph server, the orchestrator and every step, started once for all."""
    stack = EmbeddedStack(tmp_path_factory.mktemp("stack"), CODESTORY_LOCAL_START_SECONDS="150")
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository, another one for each test."""
    files = {
        "README.md": "# A small repository\n\nThe work is done in `src/work.py`.\n",
        "src/work.py": '"""Works."""\n\n\ndef work() -> int:\n    return 42\n',
        "src/rest.py": "REST = 0\n",
    }
    root = tmp_path / tmp_path.name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root
