"""Who takes the spans, and how they know who sends them."""

from pathlib import Path

import pytest

from codestory import telemetry
from codestory.telemetry import TelemetrySettings


def test_headers_come_from_a_file_as_they_would_from_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "headers").write_text("Authorization=Bearer%20abc=, x-tenant = 7\n")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS_FILE", str(tmp_path / "headers"))

    assert TelemetrySettings().headers() == {"authorization": "Bearer abc=", "x-tenant": "7"}


def test_without_a_file_the_exporter_reads_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS_FILE", "")

    assert TelemetrySettings().headers() is None


def test_a_file_that_cannot_be_read_is_named_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS_FILE", str(tmp_path / "nothing"))

    with pytest.raises(SystemExit, match=r"OTEL_EXPORTER_OTLP_HEADERS_FILE cannot be read: .*nothing"):
        telemetry.configure("orchestrator", keeps=True)
