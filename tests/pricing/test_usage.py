from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.cards import BUCKET_UNITS
from pricing.usage import OverlappingTokens, TokenUsage, decompose
from tests.pricing.strategies import usages


def overlapping(usage: TokenUsage) -> dict[str, int]:
    """The same usage as OpenTelemetry counts it."""
    return {
        "input_tokens": usage.input_total,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_creation + usage.cache_creation_1h,
        "cache_creation_1h_input_tokens": usage.cache_creation_1h,
        "audio_input_tokens": usage.audio_input,
        "output_tokens": usage.output + usage.reasoning + usage.audio_output,
        "reasoning_output_tokens": usage.reasoning,
        "audio_output_tokens": usage.audio_output,
    }


@settings(deadline=None)
@given(usages)
def test_decomposition_is_the_inverse_of_counting_with_overlaps(usage: TokenUsage) -> None:
    assert decompose(**overlapping(usage)) == usage


def breaks_a_rule(counts: dict[str, int]) -> bool:
    creation_1h = counts.get("cache_creation_1h_input_tokens", 0)
    creation = counts.get("cache_creation_input_tokens", creation_1h)
    in_parts = creation + counts.get("cache_read_input_tokens", 0) + counts.get("audio_input_tokens", 0)
    out_parts = counts.get("reasoning_output_tokens", 0) + counts.get("audio_output_tokens", 0)
    return (
        creation_1h > creation
        or in_parts > counts.get("input_tokens", in_parts)
        or out_parts > counts.get("output_tokens", out_parts)
    )


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={name: st.integers(0, 50) for name in overlapping(TokenUsage())}))
def test_buckets_partition_the_totals_or_the_counts_are_refused(counts: dict[str, int]) -> None:
    if breaks_a_rule(counts):
        with pytest.raises(OverlappingTokens):
            decompose(**counts)
        return
    usage = decompose(**counts)
    if usage is None:
        assert not counts
        return
    assert min(usage) >= 0
    again = overlapping(usage)
    assert {name: again[name] for name in counts} == counts


def test_nothing_known_is_not_zero() -> None:
    assert decompose() is None
    assert decompose(input_tokens=0) == TokenUsage()


def test_a_missing_whole_is_the_sum_of_its_parts() -> None:
    assert decompose(cache_read_input_tokens=7, cache_creation_1h_input_tokens=5, audio_output_tokens=3) == TokenUsage(
        cache_read=7, cache_creation_1h=5, audio_output=3
    )


def test_an_absent_side_counts_nothing() -> None:
    assert decompose(input_tokens=12) == TokenUsage(uncached_input=12)


@pytest.mark.parametrize(
    ("counts", "field", "rule"),
    [
        (
            {"input_tokens": 9, "cache_read_input_tokens": 10},
            "input_tokens",
            "cache_read_input_tokens + cache_creation_input_tokens + audio_input_tokens <= input_tokens",
        ),
        (
            {"cache_creation_input_tokens": 1, "cache_creation_1h_input_tokens": 2},
            "cache_creation_input_tokens",
            "cache_creation_1h_input_tokens <= cache_creation_input_tokens",
        ),
        (
            {"output_tokens": 4, "reasoning_output_tokens": 3, "audio_output_tokens": 2},
            "output_tokens",
            "reasoning_output_tokens + audio_output_tokens <= output_tokens",
        ),
    ],
)
def test_parts_beyond_their_whole_name_the_field_and_the_rule(counts: dict[str, int], field: str, rule: str) -> None:
    with pytest.raises(OverlappingTokens) as caught:
        decompose(**counts)
    assert (caught.value.field, caught.value.rule, caught.value.code) == (field, rule, "OVERLAPPING_TOKENS")
    assert rule in str(caught.value)


def test_every_bucket_has_its_units_in_the_same_order() -> None:
    assert tuple(BUCKET_UNITS) == TokenUsage._fields
