"""`apportion bills` and `apportion allocations`: what they say and their exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.command_line import CommandLine
from tests.finance.bills_of import EXAMPLES


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path, tmp_path_factory.getbasetemp() / "compiled")


@pytest.mark.slow
def test_bills_are_imported_listed_and_trued_up(run: CommandLine, tmp_path: Path) -> None:
    done = run("bills", "import", str(EXAMPLES / "openai.costs.json"))
    assert done.returncode == 0, done.stderr
    assert "2.57737" in done.stdout
    dry = run("bills", "true-up", "--provider", "openai", "--period", "2026-11", "--dry-run")
    assert "billed 2.57737, attributed 0, would book 2.57737" in dry.stdout
    booked = run("bills", "true-up", "--provider", "openai", "--period", "2026-11")
    assert "booked 2.57737" in booked.stdout
    assert "missing_traffic" in booked.stdout
    again = run("bills", "true-up", "--provider", "openai", "--period", "2026-11")
    assert "0 rows written, 0 taken back" in again.stdout
    allocation = run("allocations", "run", "--period", "2026-11", "--dry-run")
    assert "unallocated" in allocation.stdout
    assert "0 of 2.57737 allocated" in allocation.stdout
    assert "openai" in run("bills", "list").stdout


@pytest.mark.slow
def test_a_bill_at_fault_is_told_line_by_line(run: CommandLine, tmp_path: Path) -> None:
    bill = tmp_path / "bill.csv"
    bill.write_text("provider,date,cost,currency,colour\nAcme,2026-10-01,1,EUR,red\nAcme,2026-10-01,1,USD,red\n")
    refused = run("bills", "import", str(bill))
    assert refused.returncode == 1
    assert "line 2: currency (currency)" in refused.stderr
    assert "not understood, and left out: colour" in refused.stderr
    assert "nothing was imported" in refused.stderr
    assert run("bills", "import", str(bill), "--skip-errors").returncode == 0
    assert "apportion:" in run("bills", "import", str(bill), "--format", "excel").stderr
    assert "is not a month" in run("allocations", "run", "--period", "October").stderr
    assert "no bill of 'openai'" in run("bills", "true-up", "--provider", "openai", "--period", "2026-10").stderr
