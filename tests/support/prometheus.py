"""A real Prometheus, from Debian, that scrapes a service."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from support.processes import listening
from support.waiting import until


@dataclass
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[float]:
        """The values of a query now, a series each; those that are not numbers are left out."""
        told = self._get("query", query=expression)["result"]
        values = [float(series["value"][1]) for series in told]
        return [value for value in values if value == value]  # noqa: PLR0124 - not a number

    def rules(self) -> list[dict[str, Any]]:
        """The rules that it has, with their health."""
        groups: list[dict[str, Any]] = self._get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=parameters, timeout=60).json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def prometheus(directory: Path, configuration: Path) -> Iterator[Prometheus]:
    """Prometheus as ``configuration`` says, with its data in ``directory``."""
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        ((_, port),) = until(lambda: listening(process.pid))
        url = f"http://127.0.0.1:{port}"
        until(lambda: httpx.get(f"{url}/-/ready", timeout=60).status_code == 200)
        yield Prometheus(url)
    finally:
        process.kill()
        process.wait()
