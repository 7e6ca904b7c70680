"""Unit traps, line by line: what each format's numbers, dates and names mean."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.bill_lines import BillLine, to_arrow
from finance.bills.formats import BillFormat, UnknownFormat, UsageReport, recognise
from finance.bills.packing import BillTooLarge, opened
from finance.bills.reading import LineError, Sheet, UnreadableBill
from finance.bills.words import in_whole_units, model_before, token_type
from finance.reconciliation.model_names import model_key
from tests.finance.bills_of import EXAMPLES, openai_costs

DAY = date(2026, 11, 20)


def read(content: bytes, currency: str = "USD") -> tuple[list[BillLine], list[LineError], Sheet]:
    """The lines, the errors and what was noticed."""
    file, sheet = io.BytesIO(content), Sheet(currency)
    found = list(recognise(file).spec.read(file, sheet))
    return [x for x in found if isinstance(x, BillLine)], [x for x in found if isinstance(x, LineError)], sheet


def example(name: str, currency: str = "USD") -> tuple[list[BillLine], list[LineError], Sheet]:
    return read((EXAMPLES / name).read_bytes(), currency)


def test_openai_amounts_keep_every_digit_and_are_rounded_once() -> None:
    long = "0.1234567890125000000000000000000000000001"
    (exact, half, number), errors, _ = read(
        openai_costs((DAY, "gpt-4o, input", long), (DAY, "gpt-4o, output", "0.0000000000005")).replace(
            b'"results": [', b'"results": [{"amount": {"value": 0.1, "currency": "usd"}},', 1
        )
    )
    assert not errors
    assert [exact.cost, half.cost, number.cost] == [Decimal("0.1"), Decimal("0.123456789013"), Decimal(0)]


def test_openai_names_model_tier_and_kind_in_one_text() -> None:
    lines, _, _ = example("openai.costs.json")
    said = {(line.model, line.service_tier, line.token_type) for line in lines}
    assert ("gpt-5.4-mini-2026-03-17", "batch", "output") in said
    assert ("gpt-5.4-mini-2026-03-17", "", "cached_input") in said
    assert ("", "", "") in said


def test_anthropic_writes_cents() -> None:
    lines, _, _ = example("anthropic.cost_report.json")
    assert lines[1].cost == Decimal("0.54")
    assert [line.token_type for line in lines[:6]] == [
        "input",
        "cached_input",
        "cache_write",
        "cache_write",
        "output",
        "",
    ]


def test_aws_counts_in_thousands_and_millions() -> None:
    lines, _, sheet = example("aws.cur2.csv")
    assert [(line.model_key, line.quantity) for line in lines] == [
        ("claude-sonnet-4-5", Decimal(1_234_567)),
        ("claude-sonnet-4-5", Decimal(98_765)),
        ("claude-opus-5-5", Decimal(900_000)),
        ("nova-lite", Decimal(500_000)),
    ]
    assert lines[0].bill_period == date(2026, 11, 1)
    assert lines[0].tags["resourceTags/team"] == "search"
    assert not sheet.unknown


def test_the_older_report_of_aws_is_read_too() -> None:
    table = (
        "lineItem/LineItemType,lineItem/UsageStartDate,lineItem/UnblendedCost,lineItem/CurrencyCode,bill/PayerAccountId,x\n"
        "Tax,2026-11-01T00:00:00Z,0.19,USD,1,\nCredit,2026-11-01T00:00:00Z,-1,USD,1,\nRefund,2026-11-02T00:00:00Z,-2,USD,1,\n"
    )
    lines, errors, sheet = read(table.encode())
    assert [(line.charge_category, line.charge_class) for line in lines] == [
        ("tax", ""),
        ("credit", ""),
        ("adjustment", "correction"),
    ]
    assert (errors, list(sheet.unknown), sheet.payer) == ([], ["x"], "1")


def test_azure_writes_american_dates_thousands_and_three_currencies() -> None:
    lines, _, sheet = example("azure.cost-details.mca.csv")
    assert lines[0].start_time == datetime(2026, 11, 20, tzinfo=UTC)
    assert (lines[0].quantity, lines[0].unit, lines[0].cost) == (Decimal(2_457_600), "tokens", Decimal("1.8432"))
    assert [line.token_type for line in lines] == ["input", "cached_input", "output"]
    assert (lines[1].model_key, lines[1].tags["team"]) == ("gpt-5-4-mini", "search")
    assert list(sheet.notes) == ["billed in EUR; read is costinpricingcurrency, in USD"]
    euros, _, sheet = example("azure.cost-details.mca.csv", "EUR")
    assert (euros[0].cost, euros[0].currency, list(sheet.notes)) == (Decimal("1.695744"), "EUR", [])
    _, errors, _ = example("azure.cost-details.mca.csv", "GBP")
    assert next((error.line, error.field, error.rule) for error in errors) == (2, "billingcurrency", "currency")


def test_google_gives_credits_apart_and_months_by_invoice() -> None:
    row = json.loads((EXAMPLES / "gcp.billing_export_v1.jsonl").read_text().splitlines()[1])
    row |= {"usage_start_time": "2026-10-31 23:00:00 UTC", "usage_end_time": "2026-11-01 00:00:00 UTC"}
    (line, credit), _, _ = read(json.dumps(row).encode())
    assert (line.cost, line.charge_category, line.part) == (Decimal(1), "usage", 0)
    assert (credit.cost, credit.charge_category, credit.part) == (Decimal("-0.1"), "credit", 1)
    assert (line.start_time, line.bill_period) == (datetime(2026, 10, 31, 23, tzinfo=UTC), date(2026, 11, 1))
    assert (line.model_key, line.token_type, line.unit) == ("gemini-2-5-flash", "output", "tokens")


def test_focus_tells_credits_and_corrections() -> None:
    lines, _, sheet = example("focus.1.2.csv")
    assert [(line.charge_category, line.charge_class, line.cost) for line in lines[3:]] == [
        ("credit", "", Decimal("-0.10")),
        ("usage", "correction", Decimal("-0.02")),
    ]
    assert (lines[1].model_key, lines[1].token_type, lines[1].account) == ("gpt-5-4-mini", "cached_input", "proj_shop")
    assert not sheet.unknown


def test_focus_is_of_any_provider_and_any_version() -> None:
    table = (
        "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ServiceProviderName,x_Team\n"
        "1,USD,Usage,2026-11-01T00:00:00Z,Amazon Web Services,a\n2,USD,Usage,2026-11-01T00:00:00Z,Microsoft,b\n"
    )
    lines, _, sheet = read(table.encode())
    assert [line.provider_name for line in lines] == ["aws", "azure"]
    assert list(sheet.unknown) == ["x_Team"]


@pytest.mark.parametrize(
    ("row", "field", "rule"),
    [
        ("OpenAI,2026-11-20,1,EUR,usage", "currency", "currency"),
        ("OpenAI,2026-11-20,one,USD,usage", "cost", "number"),
        ("OpenAI,2026-11-20,NaN,USD,usage", "cost", "number"),
        ("OpenAI,2026-11-20,,USD,usage", "cost", "required"),
        ("OpenAI,2026-11-20,1e30,USD,usage", "cost", "range"),
        ("OpenAI,20/11/2026x,1,USD,usage", "date", "time"),
        (",2026-11-20,1,USD,usage", "provider", "required"),
        ("OpenAI,2026-11-20,1,USD,gift", "charge_category", "one_of"),
    ],
)
def test_a_line_at_fault_names_its_place_field_and_rule(row: str, field: str, rule: str) -> None:
    table = f"provider,date,cost,currency,charge_category\nOpenAI,2026-11-20,1,USD,usage\n{row}\n"
    lines, errors, _ = read(table.encode())
    assert len(lines) == 1
    assert [(error.line, error.field, error.rule) for error in errors] == [(3, field, rule)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1\x15\x04",
        b"{}",
        b'{"data": 5, "start_time": 1}',
        b'[1, "start_time"]',
        b"a,b\n1,2\n",
        b"\xff\xfe\x00{",
    ],
)
def test_what_is_no_bill_is_told(content: bytes) -> None:
    with pytest.raises((UnreadableBill, UnknownFormat)):
        read(content)


@pytest.mark.parametrize(
    "content", [b'{"data": 5}', b'{"data": [{"results": 3}]}', b"[3]", b"{", b'{"data": [{"results": []}]}']
)
@pytest.mark.parametrize("format_", [BillFormat.OPENAI_COSTS, BillFormat.ANTHROPIC_COST, BillFormat.GCP])
def test_a_document_of_another_shape_is_told(content: bytes, format_: BillFormat) -> None:
    try:
        found = list(format_.spec.read(io.BytesIO(content), Sheet("USD")))
    except UnreadableBill:
        return
    assert all(isinstance(line, LineError) for line in found)


def test_packed_files_are_unpacked() -> None:
    plain = openai_costs((DAY, "gpt-4o, input", "1"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bill.json", plain)
    for content in (plain, gzip.compress(plain), packed.getvalue()):
        assert opened(io.BytesIO(content)).read() == plain


def test_what_is_packed_is_unpacked_within_a_bound() -> None:
    plain = b"x" * 1_000
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bill.json", plain)
    for content in (gzip.compress(plain), packed.getvalue()):
        assert opened(io.BytesIO(content), 1_000).read() == plain
        with pytest.raises(BillTooLarge):
            opened(io.BytesIO(content), 999).read()


def test_a_table_of_one_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finance.bills.table._MAX_LINE", 100)
    with pytest.raises(UnreadableBill, match="line 2 is longer than 100 characters"):
        read(b"provider,date,cost,currency\n" + b"Acme," * 50)


def test_pages_may_be_an_array_or_one_a_line() -> None:
    one, two = (openai_costs((DAY.replace(day=n), "gpt-4o, input", str(n))) for n in (1, 2))
    for content in (b"[" + one + b"," + two + b"]", one + b"\n" + two + b"\n"):
        lines, _, _ = read(content)
        assert [(line.line, line.cost) for line in lines] == [(1, Decimal(1)), (2, Decimal(2))]


def test_a_bucket_on_two_pages_counts_once_and_must_be_the_same() -> None:
    one, other = (openai_costs((DAY, "gpt-4o, input", amount)) for amount in ("1", "2"))
    lines, _, sheet = read(one + b"\n" + one)
    assert [line.cost for line in lines] == [1]
    assert list(sheet.notes) == ["a bucket comes twice, the same each time: it is counted once"]
    with pytest.raises(UnreadableBill, match="comes twice, with other results"):
        read(one + b"\n" + other)


def test_a_column_that_comes_twice_is_refused() -> None:
    with pytest.raises(UnreadableBill, match="column cost comes twice"):
        read(b"provider,date,cost,currency,Cost\nAcme,2026-11-20,1,USD,2\n")
    lines, _, _ = read(b"provider,date,cost,currency,note,note\nAcme,2026-11-20,1,USD,a,b\n")
    assert [line.cost for line in lines] == [1]


@pytest.mark.parametrize(
    ("unit", "quantity", "expected"),
    [
        ("1K tokens", "1.5", ("1500.0", "tokens")),
        ("1M tokens", "0.9", ("900000.0", "tokens")),
        ("1K", "2", ("2000", "tokens")),
        ("10K", "2", ("20000", "tokens")),
        ("Tokens", "5", ("5", "tokens")),
        ("Million tokens", "2", ("2000000", "tokens")),
        ("1 MB", "2", ("2", "mb")),
        ("1 Hour", "5", ("5", "hour")),
        ("GB-month", "0.42", ("0.42", "gb-month")),
        ("", "3", ("3", "tokens")),
    ],
)
def test_units_become_single(unit: str, quantity: str, expected: tuple[str, str]) -> None:
    found = in_whole_units(Decimal(quantity), unit, default="tokens")
    assert (str(found.quantity), found.unit) == expected


@pytest.mark.parametrize(
    ("text", "model", "kind"),
    [
        ("gpt 5.4 mini cchd Inp glbl Tokens", "gpt 5.4 mini", "cached_input"),
        ("gpt-5.4-mini cached input", "gpt-5.4-mini", "cached_input"),
        ("Claude Sonnet 4.5 (Amazon Bedrock Edition) output tokens", "Claude Sonnet 4.5", "output"),
        ("Claude Sonnet 4.5 (Amazon Bedrock Edition) cache write input tokens", "Claude Sonnet 4.5", "cache_write"),
        ("Gemini 2.5 Flash Text Input - Predictions", "Gemini 2.5 Flash", "input"),
        ("Gemini 2.5 Flash Audio Input - Predictions", "Gemini 2.5 Flash", "audio_input"),
        ("Gemini 2.5 Flash - Audio Input", "Gemini 2.5 Flash", "audio_input"),
        ("gpt-4o-audio-preview input tokens", "gpt-4o-audio-preview", "audio_input"),
        ("gpt-image-1 output tokens", "gpt-image-1", "output"),
        ("gemini-2.5-flash-image output tokens", "gemini-2.5-flash-image", "output"),
        ("gpt-5.4-mini-cached-input", "gpt-5.4-mini", "cached_input"),
        ("Promotional credit", "", ""),
    ],
)
def test_descriptions_name_model_and_kind(text: str, model: str, kind: str) -> None:
    assert (model_before(text), token_type(text)) == (model, kind)


@pytest.mark.parametrize(
    ("provider", "names", "key"),
    [
        ("openai", ("gpt-4o-2024-08-06", "openai/gpt-4o", "GPT-4o"), "gpt-4o"),
        (
            "aws",
            (
                "Claude Sonnet 4.5",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            "claude-sonnet-4-5",
        ),
        ("anthropic", ("claude-haiku-4-5-20251001", "claude-haiku-4-5", "claude-haiku-4-5-latest"), "claude-haiku-4-5"),
        ("google", ("models/gemini-2.5-flash", "Gemini 2.5 Flash"), "gemini-2-5-flash"),
        ("azure", ("gpt 5.4 mini", "gpt-5.4-mini"), "gpt-5-4-mini"),
        ("openai", ("",), ""),
    ],
)
def test_bills_and_calls_agree_on_a_model(provider: str, names: tuple[str, ...], key: str) -> None:
    assert {model_key(provider, name) for name in names} == {key}
    assert model_key(provider, key) == key


def test_every_format_has_a_name_of_its_own() -> None:
    names: list[Any] = [format_.spec.name for format_ in BillFormat]
    assert len(set(names)) == len(names)


NOISE = (
    *(b"", b"\x00", b"\xff", b"\xed\xa0\x80", b'"', b"{", b"]", b",", b"\n", b"-", b"0,46", rb"\ud800"),
    *(b"null", b"true", b"NaN", b"5", b"[]", b"1e999999999", b"9" * 5_000, b"[" * 3_000, b"2026-13-45", b"0001-01-01"),
)


@given(
    name=st.sampled_from(sorted(path.name for path in EXAMPLES.iterdir() if path.name != "README.json")),
    place=st.floats(0, 1),
    cut=st.integers(0, 40),
    noise=st.sampled_from(NOISE),
)
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_told_and_nothing_else_happens(name: str, place: float, cut: int, noise: bytes) -> None:
    content = (EXAMPLES / name).read_bytes()
    at = int(place * len(content))
    damaged = content[:at] + noise + content[at + cut :]
    try:
        lines, errors, _ = read(damaged)
    except (UnreadableBill, UnknownFormat, UsageReport):
        return
    if lines:
        assert to_arrow(lines).num_rows == len(lines)
    assert all(error.rule and error.message for error in errors)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in the document with a key or an index in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


@given(
    name=st.sampled_from(sorted(path.name for path in [*EXAMPLES.glob("*cost*.json"), *EXAMPLES.glob("gcp*")])),
    choice=st.randoms(use_true_random=False),
    value=st.sampled_from([None, 5, -1, 10**30, 1.5, True, "", "x", "1e99", [], [1], {}, {"a": 1}]),
)
@settings(max_examples=100, deadline=None)
def test_a_document_with_another_value_somewhere_is_told(name: str, choice: Random, value: Any) -> None:
    text = (EXAMPLES / name).read_text()
    document = json.loads(text.splitlines()[-1] if name.endswith("l") else text)
    container, key = choice.choice(list(_places(document)))
    container[key] = value
    content = json.dumps(document).encode()
    for format_ in (BillFormat.OPENAI_COSTS, BillFormat.ANTHROPIC_COST, BillFormat.GCP):
        try:
            found = list(format_.spec.read(io.BytesIO(content), Sheet("USD")))
        except UnreadableBill:
            continue
        lines = [line for line in found if isinstance(line, BillLine)]
        assert not lines or to_arrow(lines).num_rows == len(lines)


@pytest.mark.parametrize("cost", ["0,46", "1,234.56", "1.234,56", "$1", "1_000x", "--1"])
def test_an_amount_in_another_notation_is_refused_rather_than_misread(cost: str) -> None:
    table = f'provider,date,cost,currency\nAcme,2026-11-20,"{cost}",USD\n'
    lines, errors, _ = read(table.encode())
    assert (lines, [error.rule for error in errors]) == ([], ["number"])


def test_a_row_of_too_many_cells_is_refused() -> None:
    _, errors, _ = read(b"provider,date,cost,currency\nAcme,2026-11-20,0,46,USD\n")
    assert [(error.line, error.rule) for error in errors] == [(2, "columns")]


def test_a_table_of_ones_own_is_told_from_pinecones() -> None:
    lines, _, _ = read(b"provider,date,sku,cost,currency,tag.team\nAcme,2026-11-20,x,1,USD,search\n")
    assert (lines[0].provider_name, lines[0].tags) == ("acme", {"team": "search"})
