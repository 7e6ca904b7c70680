"""`apportion budgets`: what a file plans and does, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import app
from budgets.file import UnreadableFile
from core.database import Database
from tenants.audit import records

TEXT = """version: 1
budgets:
  - {name: search, team: search, where: {team: search}, amount: 100, period: {every: month}}
  - {name: growth, team: growth, amount: 7.5, each: tenant, overrides: {acme: 50}, period: {hours: 24}, mode: enforce}
guardrails:
  - {name: slow, team: search, measure: latency_p95_ms, above: 2000, each: feature}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(app, ["budgets", *arguments, "--data-dir", str(tmp_path)], input=answer)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "budgets.yaml"
    path.write_text(TEXT)
    return path


def test_applied_twice_it_changes_nothing_the_second_time(run: Run, file: Path, tmp_path: Path) -> None:
    planned = run("plan", str(file))
    assert planned.stdout.splitlines() == ["+ budget search", "+ budget growth", "+ guardrail slow"]
    assert run("apply", str(file), "--yes").stdout.splitlines()[-1] == "applied"
    again = run("apply", str(file), "--yes")
    assert (again.stdout, again.stderr.strip()) == ("", "0 to create, 0 to update, 0 to delete, 3 to keep")
    exported = tmp_path / "exported.yaml"
    exported.write_text(run("export").stdout)
    assert run("plan", str(exported), "--prune").stdout == ""
    database = Database(f"sqlite:///{tmp_path}/apportion.db")
    made = {(each.actor, each.action) for each in records(database, first=10)}
    database.close()
    assert made == {("command line", "budget.create"), ("command line", "guardrail.create")}


def test_a_change_is_shown_asked_for_and_made(run: Run, file: Path) -> None:
    run("apply", str(file), "--yes")
    file.write_text(TEXT.replace("amount: 100", "amount: 120").replace("above: 2000", "above: 2500"))
    lines = ["~ budget search", "    amount: '100' -> '120'", "~ guardrail slow", "    above: '2000' -> '2500'"]
    assert run("apply", str(file), answer="n\n").stdout.splitlines()[:4] == lines
    assert run("plan", str(file)).stdout.splitlines() == lines
    assert run("apply", str(file), answer="y\n").stdout.splitlines()[-1] == "applied"
    assert run("plan", str(file)).stdout == ""


def test_only_with_prune_is_anything_deleted_and_with_a_team_only_its_own(run: Run, file: Path) -> None:
    run("apply", str(file), "--yes")
    file.write_text("version: 1")
    assert run("apply", str(file), "--yes").stdout == ""
    assert run("plan", str(file), "--prune", "--team", "growth").stdout.splitlines() == ["- budget growth"]
    run("apply", str(file), "--prune", "--team", "search", "--yes")
    listed = run("list").stdout
    assert "growth" in listed
    assert "slow" not in listed
    assert run("export", "--team", "search").stdout == "version: 1\n"


def test_what_is_no_file_of_budgets_changes_nothing(run: Run, file: Path) -> None:
    file.write_text(TEXT.replace("mode: enforce", "mode: enfroce"))
    failed = run("apply", str(file), "--yes")
    assert isinstance(failed.exception, UnreadableFile)
    assert str(failed.exception).startswith("budgets[1] growth: ")
    assert run("export").stdout == "version: 1\n"
