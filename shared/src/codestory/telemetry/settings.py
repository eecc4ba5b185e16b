"""Whether spans are exported, and where to: OpenTelemetry's own variables, read as its SDK reads them."""

from pathlib import Path
from urllib.parse import unquote

from pydantic_settings import BaseSettings, SettingsConfigDict


class TelemetrySettings(BaseSettings):
    """Prefix OTEL_. Its exporter reads the others itself: headers, timeout, compression, certificates."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", env_ignore_empty=True, extra="ignore")

    exporter_otlp_endpoint: str = ""
    exporter_otlp_traces_endpoint: str = ""
    #: `none`: nothing is exported.
    traces_exporter: str = "otlp"

    #: A file that holds what OTEL_EXPORTER_OTLP_HEADERS would, `authorization=Bearer%20…`, for a collector that wants
    #: to know who sends. It wins.
    exporter_otlp_headers_file: Path | None = None

    def headers(self) -> dict[str, str] | None:
        """None: as the exporter reads them itself."""
        if self.exporter_otlp_headers_file is None:
            return None
        pairs = (pair.partition("=") for pair in self.exporter_otlp_headers_file.read_text("utf-8").split(","))
        return {name.strip().lower(): unquote(value.strip()) for name, equals, value in pairs if equals}

    @property
    def exports(self) -> bool:
        somewhere = self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint
        return bool(somewhere) and self.traces_exporter.strip().lower() != "none"
