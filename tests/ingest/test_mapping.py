"""A deployment's own attribute names, and what is cut to size instead of refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.app import make_app
from api.doors import Doors
from api.serving import open_services
from core.settings import Settings
from ingest.fit import LIMITS, fit_tags, fit_texts, shortened
from ingest.otlp.mapping import CONFIGURABLE, UnusableMapping, configured
from ingest.payloads import EventPayload
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.events import NOW


@pytest.mark.parametrize(
    ("attributes", "tags", "sentence"),
    [
        ({"tenent_id": ["shop.customer"]}, [], r"^otlp_attributes: 'tenent_id' is none of tenant_id, team, "),
        ({"agent": ["shop.agent"]}, [], r"^otlp_attributes: 'agent' is none of "),
        ({"input_tokens": ["shop.tokens"]}, [], r"^otlp_attributes: 'input_tokens' is none of "),
        ({"tenant_id": ["a", " "]}, [], r"^otlp_attributes.tenant_id: a name is empty$"),
        ({"feature": ["input.value"]}, [], r"^otlp_attributes.feature: 'input.value' carries content"),
        ({}, ["shop.plan", ""], r"^otlp_tags: a name is empty$"),
        ({}, ["shop.api_key"], r"^otlp_tags: 'shop.api_key' carries content or secrets"),
        ({}, ["gen_ai.headers"], r"^otlp_tags: 'gen_ai.headers' carries content or secrets"),
    ],
)
def test_an_unusable_mapping_is_refused_with_a_sentence(
    attributes: dict[str, list[str]], tags: list[str], sentence: str
) -> None:
    with pytest.raises(UnusableMapping, match=sentence) as refusal:
        configured(attributes, tags)
    assert refusal.value.code == "UNUSABLE_MAPPING"


def test_every_configurable_field_is_one_of_the_event() -> None:
    mapping = configured({field: ["shop.x"] for field in CONFIGURABLE}, ["*"])
    assert set(CONFIGURABLE) <= set(EventPayload.__struct_fields__)
    assert all(
        mapping.inherited.names[field][0] == mapping.resource.names[field][0] == "shop.x" for field in CONFIGURABLE
    )


def test_the_settings_are_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPORTION_OTLP_ATTRIBUTES", '{"tenant_id": ["shop.customer"]}')
    monkeypatch.setenv("APPORTION_OTLP_TAGS", '["shop.*"]')
    settings = Settings(_env_file=None)
    assert (settings.otlp_attributes, settings.otlp_tags) == ({"tenant_id": ["shop.customer"]}, ["shop.*"])


def test_an_unusable_mapping_stops_the_start(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with fresh_clickhouse_url(embedded_clickhouse) as url:
        settings = Settings(clickhouse_url=url, data_dir=tmp_path, otlp_attributes={"tenent": ["x"]}, _env_file=None)
        services = open_services(settings)
        with pytest.raises(UnusableMapping):
            make_app(services)
        with pytest.raises(UnusableMapping):
            Doors(services)
        services.release()


# --- Cut to size ------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60), st.text(max_size=60), st.integers(20, 40))
def test_texts_are_cut_to_distinct_texts(one: str, other: str, limit: int) -> None:
    assert len(shortened(one, limit)) <= limit
    assert (shortened(one, limit) == shortened(other, limit)) == (one == other)
    assert shortened(shortened(one, limit), limit) == shortened(one, limit)
    if len(one) <= limit:
        assert shortened(one, limit) == one


def test_every_text_of_an_event_is_cut_to_its_limit() -> None:
    assert {"tenant_id": 200, "event_id": 256, "request_model": 200}.items() <= LIMITS.items()
    assert not {"quantity", "status", "workload", "input_tokens"} & LIMITS.keys()
    fields: dict[str, object] = dict.fromkeys(LIMITS, "x" * 1000) | {"input_tokens": 5}
    fit_texts(fields)
    assert {name: len(str(fields[name])) for name in LIMITS} == LIMITS
    assert fields["input_tokens"] == 5


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=8), st.integers(0, 8))
def test_the_first_tags_by_name_are_kept(tags: dict[str, str], limit: int) -> None:
    event = EventPayload(start_time=NOW, tenant_id="acme", tags=tags)
    assert fit_tags(event, limit) == max(len(tags) - limit, 0)
    assert list(event.tags) == sorted(tags)[:limit] or event.tags == tags
    assert len(event.tags) == min(len(tags), limit)
    assert fit_tags(event, limit) == 0
