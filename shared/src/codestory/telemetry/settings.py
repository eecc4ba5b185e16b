"""Whether spans are exported, and where to: OpenTelemetry's own variables, read as its SDK reads them."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class TelemetrySettings(BaseSettings):
    """Prefix OTEL_. Its exporter reads the others itself: headers, timeout, compression, certificates."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", extra="ignore")

    exporter_otlp_endpoint: str = ""
    exporter_otlp_traces_endpoint: str = ""
    #: `none`: nothing is exported.
    traces_exporter: str = "otlp"

    @property
    def exports(self) -> bool:
        somewhere = self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint
        return bool(somewhere) and self.traces_exporter.strip().lower() != "none"
