"""The bench runs and reports every figure, at a size that proves nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INGEST = ["ingest, JSON", "ingest, OTLP", "ingest, single events"]
QUERIES = ["query, 100 rows", "query, 5,000 rows"]
FIGURES = [*INGEST, "server memory", *QUERIES, "evaluation of budgets", "decisions, p99", "decisions"]


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine may take minutes; an idle one takes fifteen seconds
def test_bench_reports_every_figure_beside_its_limit(tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    command = (sys.executable, "-m", "bench", "--events", "2000", "--runs", "3", "--json", str(report))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)

    document = json.loads(report.read_text())
    assert document["events"] == 2000
    assert [figure["name"] for figure in document["figures"]] == FIGURES
    for figure in document["figures"]:
        assert figure["measured"] > 0
        assert figure["limit"] > 0
        assert figure["ratio"] > 0
        assert figure["aim"]
        assert isinstance(figure["met"], bool)
        if figure["name"] in INGEST:
            assert "server CPU" in figure["note"]
            assert "the client takes" in figure["note"]
