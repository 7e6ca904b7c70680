"""Tables of tenants and of revenue on the command line: tried first, told line by line, safe to repeat."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.database import Database
from tenants.tiers import Tiers
from tests.api.command_line import CommandLine

TENANTS = """tenant_id,external_id,name,status,tier,tier_from,tier_until,metadata.segment
acme,cus_1,"Acme, Inc.",active,pro,2026-01-01,,smb
globex,cus_2,Globex,trial,,,,
initech,cus_1,Initech,active,,,,
hooli,,Hooli,dormant,,,,
umbrella,,Umbrella,,gold,2026-01-01,,
stark,,Stark,,pro,soon,,
"""
REVENUE = """id,tenant_id,amount,period,start,end,source
inv-1,acme,120.50,2026-10,,,stripe
inv-2,globex,10,,2026-10-05,2026-10-12,stripe
inv-3,globex,many,2026-10,,,stripe
"""


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    run = CommandLine(tmp_path, tmp_path_factory.mktemp("compiled"))
    database = Database(f"sqlite:///{tmp_path}/apportion.db")
    database.migrate()
    Tiers(database, "USD", ()).create("pro", "Pro", timezone="Asia/Tokyo", by="test")
    database.close()
    (tmp_path / "tenants.csv").write_text(TENANTS)
    (tmp_path / "revenue.csv").write_text(REVENUE)
    return run


def test_tenants_are_tried_then_entered_and_the_second_time_nothing_changes(run: CommandLine):
    tried = run("tenants", "import", "tenants.csv", "--dry-run")
    assert tried.returncode == 1
    assert "2 of 6 tenants would be changed, 4 lines cannot be used" in tried.stdout
    assert "globex" not in run("tenants", "list").stdout
    done = run("tenants", "import", "tenants.csv")
    assert done.returncode == 1
    assert "2 of 6 tenants changed, 4 lines cannot be used" in done.stdout
    for line in (
        "line 4: external id 'cus_1' belongs to tenant 'acme'",
        "line 5: status 'dormant' is not usable: it is one of active, trial, suspended, closed",
        "line 6: there is no tier 'gold'",
        "line 7: tier_from 'soon' is not usable",
    ):
        assert line in done.stderr
    listed = run("tenants", "list").stdout
    assert "Acme, Inc." in listed
    assert "2025-12-31T15:00:00+00:00" in listed  # the first instant of the day in the tier's zone
    assert "0 of 6 tenants changed" in run("tenants", "import", "tenants.csv").stdout


def test_revenue_is_tried_then_entered_and_the_second_time_nothing_changes(run: CommandLine):
    tried = run("revenue", "import", "revenue.csv", "--dry-run")
    assert (tried.returncode, tried.stdout.strip()) == (1, "2 of 3 items are usable")
    done = run("revenue", "import", "revenue.csv")
    assert done.returncode == 1
    assert done.stdout.strip() == "2 accepted, 0 unchanged, 0 corrected, 1 rejected"
    assert "line 4: amount is not usable" in done.stderr
    again = run("revenue", "import", "revenue.csv")
    assert again.stdout.strip() == "0 accepted, 2 unchanged, 0 corrected, 1 rejected"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tenant_id,colour\na,red\n", "nothing is known of the column 'colour'"),
        ("name\nA\n", "it has no column tenant_id"),
        ("tenant_id,name\na\n", "line 2 has not as many cells as the first one"),
        ("", "it has no column tenant_id"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(run: CommandLine, text: str, reason: str):
    (run.directory / "odd.csv").write_text(text)
    answer = run("tenants", "import", "odd.csv")
    assert answer.returncode == 1
    assert reason in answer.stderr
    assert "Traceback" not in answer.stderr
