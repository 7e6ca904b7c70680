"""What operators are given is accepted by the tools that will read it, and says what the product expects."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from core.settings import Settings
from tests.deploy.replica import Replica

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
SETTINGS = {f"APPORTION_{field.upper()}" for field in Settings.model_fields}
LONG_RUNNING = {"api-1", "api-2", "balancer", "clickhouse", "postgres"}


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)


def _tool(name: str) -> Path:
    return Path(sysconfig.get_path("scripts")) / name


def _compose(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Docker Compose's answer. The package's own entry point always ends with status 0, hence the binary inside it."""
    package = importlib.util.find_spec("compose")
    assert package is not None
    assert package.origin is not None
    binary = Path(package.origin).parent / "docker-compose"
    return _run(binary, "--env-file", environment, "-f", DEPLOY / "compose.yaml", "config", *arguments)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as Compose resolves them with the example environment."""
    resolved = _compose(DEPLOY / ".env.example", "--format", "json")
    assert resolved.returncode == 0, resolved.stderr
    services: dict[str, Any] = json.loads(resolved.stdout)["services"]
    return services


LINTERS = {
    "hadolint": ["hadolint", "--failure-threshold", "info", DEPLOY / "Dockerfile"],
    "yamllint": ["yamllint", "--strict", "-c", DEPLOY / ".yamllint.yaml", DEPLOY / "compose.yaml"],
    "compose-lint": ["compose-lint", "--fail-on", "high", DEPLOY / "compose.yaml"],
    "caddy validate": ["caddy", "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"],
    "caddy fmt": ["caddy", "fmt", "--diff", DEPLOY / "Caddyfile"],
}


@pytest.mark.parametrize("command", LINTERS.values(), ids=LINTERS.keys())
def test_linter_is_content(command: list[str | Path]) -> None:
    linted = _run(_tool(str(command[0])), *command[1:])
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_compose_refuses_to_start_without_secrets(tmp_path: Path) -> None:
    empty = tmp_path / "empty.env"
    empty.touch()
    refused = _compose(empty, "--quiet")
    assert refused.returncode != 0
    assert "PASSWORD is missing a value: see .env.example" in refused.stderr


def test_example_environment_is_complete_and_has_nothing_unused() -> None:
    offered = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert offered == used - {"APPORTION_VERSION", "CLICKHOUSE_MEMORY"}


def test_only_the_balancer_can_be_reached_from_outside(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if service.get("ports")} == {"balancer"}
    assert {name for name, service in services.items() if "stores" not in service["networks"]} == {"balancer"}


def test_everything_that_keeps_running_is_watched_and_bounded(services: dict[str, Any]) -> None:
    assert set(services) == LONG_RUNNING | {"migrate"}
    in_image = {"api-1", "api-2"}  # the Dockerfile has their check
    assert {
        name for name in LONG_RUNNING if services[name].get("healthcheck", {}).get("test")
    } == LONG_RUNNING - in_image
    assert all(int(service["mem_limit"]) > 0 for service in services.values())


def test_replicas_wait_for_migrations_and_those_for_healthy_stores(services: dict[str, Any]) -> None:
    def awaited(name: str) -> dict[str, str]:
        return {other: wait["condition"] for other, wait in services[name]["depends_on"].items()}

    assert services["migrate"]["command"] == ["migrate"]
    assert awaited("migrate") == {"clickhouse": "service_healthy", "postgres": "service_healthy"}
    assert awaited("api-1") == awaited("api-2") == {"migrate": "service_completed_successfully"}
    assert awaited("balancer") == {"api-1": "service_healthy", "api-2": "service_healthy"}


def test_replicas_differ_in_their_spool_alone(services: dict[str, Any]) -> None:
    spools = [services[name].pop("volumes") for name in ("api-1", "api-2")]
    assert services["api-1"] == services["api-2"]
    assert [[volume["source"], volume["target"]] for (volume,) in spools] == [
        ["api-1", "/var/lib/apportion"],
        ["api-2", "/var/lib/apportion"],
    ]


def test_urls_agree_with_the_stores_they_name(services: dict[str, Any]) -> None:
    settings = services["api-1"]["environment"]
    events, relational = (urlsplit(settings[f"APPORTION_{which}_URL"]) for which in ("CLICKHOUSE", "DATABASE"))
    clickhouse, postgres = (services[name]["environment"] for name in ("clickhouse", "postgres"))
    assert (events.scheme, events.hostname, events.port, events.query) == (
        "http",
        "clickhouse",
        8123,
        "database=apportion",
    )
    assert events.password == clickhouse["CLICKHOUSE_PASSWORD"]
    assert (relational.scheme, relational.hostname, relational.port) == ("postgresql+psycopg", "postgres", 5432)
    assert (relational.username, relational.password) == (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"])
    assert relational.path.removeprefix("/") == postgres["POSTGRES_DB"]


def test_the_product_understands_its_environment(
    services: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services["api-1"]["environment"]
    assert set(environment) <= SETTINGS
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.clickhouse_url == environment["APPORTION_CLICKHOUSE_URL"]
    assert settings.database_url == environment["APPORTION_DATABASE_URL"]
    assert settings.cors_origins == []


def test_operators_read_of_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"`(APPORTION_\w+)`", (DEPLOY / "README.md").read_text()))
    assert named
    assert named <= SETTINGS


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    volumes = [volume for service in services.values() for volume in service.get("volumes", [])]
    mounted = [Path(volume["source"]) for volume in volumes if volume["type"] == "bind"]
    assert len(mounted) == 3
    assert [path for path in mounted if not path.is_file()] == []


def test_all_that_the_wheel_is_made_of_enters_the_build() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert needed | {"requirements.lock"} <= allowed


def test_image_runs_as_nobody_in_particular() -> None:
    final_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):\d+$", final_stage, re.MULTILINE)
    assert "--require-hashes" in DOCKERFILE


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1)])
def test_health_check_tells_a_healthy_service_from_a_sick_one(status: int, exit_code: int) -> None:
    (check,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    with Replica("api", health=status) as replica:
        python, *arguments = json.loads(check.replace("127.0.0.1:8000", replica.address))
        assert python == "python"
        assert _run(sys.executable, *arguments).returncode == exit_code
        assert replica.seen == ["/healthz"]
