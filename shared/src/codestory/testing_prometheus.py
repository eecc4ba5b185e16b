"""A real Prometheus for tests, on what a deployment gives it: the same jobs and rules, other targets, short waits."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from codestory.testing import free_port

#: Debian's package has both programs.
HOW = "apt-get install prometheus"
#: How often it looks, in tests.
INTERVAL = "1s"


def program(name: str) -> str | None:
    """Prometheus or promtool, where they are installed."""
    return shutil.which(name)


class Prometheus:
    """`with Prometheus(folder) as prometheus`: with its prometheus.yaml and alerts.yaml; `watch` says what to look at.

    Each rule fires as soon as it is true; what it looks at, and from which bound on, stays as it stands."""

    def __init__(self, configuration: Path) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="codestory-prometheus-"))
        self._config: dict[str, Any] = yaml.safe_load((configuration / "prometheus.yaml").read_text())
        rules: dict[str, Any] = yaml.safe_load((configuration / "alerts.yaml").read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule.pop("for", None)
        (self._directory / "alerts.yaml").write_text(yaml.safe_dump(rules))
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{free_port()}"

    def watch(self, targets: Mapping[str, Sequence[str]]) -> None:
        """The targets of each job, by its name; one that is not named is left out. Again: from now on others."""
        jobs: list[dict[str, Any]] = []
        for job in self._config["scrape_configs"]:
            if job["job_name"] in targets:
                where = {"static_configs": [{"targets": list(targets[job["job_name"]])}]}
                left_out = ("dns_sd_configs", "authorization")
                jobs.append({key: value for key, value in job.items() if key not in left_out} | where)
        often = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), INTERVAL)
        config = {"global": often, "rule_files": [str(self._directory / "alerts.yaml")], "scrape_configs": jobs}
        (self._directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        if self._process:
            httpx.post(f"{self.url}/-/reload").raise_for_status()

    def __enter__(self) -> Self:
        found = program("prometheus")
        assert found, f"prometheus is not installed: {HOW}"
        options = {
            "config.file": self._directory / "prometheus.yaml",
            "storage.tsdb.path": self._directory / "data",
            "web.listen-address": self.url.removeprefix("http://"),
            "log.level": "warn",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        if not (self._directory / "prometheus.yaml").exists():
            self.watch({})
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [found, *arguments, "--web.enable-lifecycle"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")

    async def ready(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{self.url}/-/ready")).is_success
            except httpx.TransportError:
                return False

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """The series that the query gives now."""
        answer = await self._get("query", query=query)
        return answer["result"]

    async def firing(self) -> set[tuple[str, str, str, str]]:
        """The name, `job`, `dependency` and `instance` of each alert."""
        labels = [alert["labels"] for alert in (await self._get("alerts"))["alerts"] if alert["state"] == "firing"]
        return {(it["alertname"], it.get("job", ""), it.get("dependency", ""), it.get("instance", "")) for it in labels}

    async def series(self) -> int:
        """How many there are now."""
        [one] = await self.ask('count({__name__!=""})')
        return int(one["value"][1])

    async def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.get(f"{self.url}/api/v1/{what}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", f"{parameters}: {body.get('error')}"
        return body["data"]


_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "group_left", "group_right"}


def metrics_in(query: str) -> set[str]:
    """The names of the metrics that a query is about."""
    text = re.sub(r'"(?:\\.|[^"\\])*"', "", query)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\boffset\s+\S+", " ", _GROUPED.sub(" ", text))
    names = re.findall(r"(?<![\w$.])([a-zA-Z_:][\w:]*)(?!\w)\s*(?!\s*\()", text)
    functions = set(re.findall(r"([a-zA-Z_]\w*)\s*\(", text))
    return {name for name in names if name not in _WORDS | functions}
