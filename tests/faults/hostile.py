"""Bodies that nobody should send, made from good ones: the same for the same seed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList

from tests.ingest.events import wire_event
from tests.ingest.otlp_spans import chat, export

_FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
JSON, PROTOBUF = "application/json", "application/x-protobuf"
DOORS: Final = {
    "/v1/events": (JSON,),
    "/v1/litellm": (JSON,),
    "/v1/traces": (PROTOBUF, JSON),
    "/v1/logs": (PROTOBUF, JSON),
    "/v1/metrics": (PROTOBUF, JSON),
}
_NUMBERS: Final = (
    *("1e400", "-1e400", "1" * 5_000, "-1", "0.1e-400", "1e18446744073709551616", "18446744073709551616", "NaN"),
    *(
        "-0",
        "00",
        "1e",
        "0x10",
        "Infinity",
        "9007199254740993",
        "1.7976931348623157e309",
        "null",
        "true",
        '"1e9999999"',
    ),
)
_STRINGS: Final = (
    *(b'"\xff\xfe"', b'"\xed\xa0\x80"', rb'"\ud800"', rb'"\u0000"', b'"\x00"', b'"' + b"x" * 300_000 + b'"', b'"' * 99),
    *(rb'"\ud83d"', '"\N{RIGHT-TO-LEFT OVERRIDE}"'.encode(), b'"0000-00-00T99:99:99Z"', b'"9999-12-31T23:59:60-23:59"'),
)
_CONTENT_TYPES: Final = (
    *("", "text/plain", "application/grpc", "multipart/form-data; boundary=x", "application/json; charset=utf-32"),
    *("application/x-protobuf; proto=x", "*/*", "application/json, application/x-protobuf", "a" * 2_000),
)
_ENCODINGS: Final = ("gzip", "x-gzip", "deflate", "zstd", "br", "gzip, gzip", "identity", "GZIP", "\t", "a" * 500)
_BOMB: Final = b"[" + b'{"a":1},' * 4_000_000


@dataclass(frozen=True)
class Hostile:
    """One request."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Attacker:
    """Makes one hostile request after another."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._good = _good_bodies()
        self._bombs = {"gzip": gzip.compress(_BOMB), "deflate": zlib.compress(_BOMB), "zstd": zstandard.compress(_BOMB)}
        self._mutations: tuple[Callable[[bytes], bytes], ...] = (
            *(self._noise, self._cut, self._flipped, self._spliced, self._repeated, self._swollen, self._strange_text),
            *(_deep, _deeper, _deep_attributes, lambda body: body, lambda _: b"", lambda body: b"\xef\xbb\xbf" + body),
        )

    def request(self) -> Hostile:
        """The next request to a door over HTTP."""
        path = self._random.choice(list(DOORS))
        if self._random.random() < 0.05:
            encoding, bomb = self._random.choice(list(self._bombs.items()))
            return Hostile(path, bomb, {"content-type": DOORS[path][0], "content-encoding": encoding})
        content_type = self._random.choice(DOORS[path])
        body = self.body(path, content_type)
        headers = {"content-type": content_type} | self._strange_headers()
        if self._random.random() < 0.3:
            encoding = self._random.choice(list(_COMPRESSORS))
            body, headers["content-encoding"] = self._maybe_cut(_COMPRESSORS[encoding](body)), encoding
        return Hostile(path, body, headers)

    def body(self, path: str, content_type: str) -> bytes:
        """A good body of that door, mutated once or more."""
        body = self._random.choice(self._good[path, content_type])
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            body = self._random.choice(self._mutations)(body)
        return body[:3_000_000]

    def _strange_headers(self) -> Mapping[str, str]:
        chance = self._random.random()
        if chance < 0.1:
            return {"content-type": self._random.choice(_CONTENT_TYPES)}
        if chance < 0.2:
            return {"content-encoding": self._random.choice(_ENCODINGS)}
        if chance < 0.3:
            name = self._random.choice(("tenant", "team", "feature", "environment"))
            return {f"x-apportion-{name}": self._random.choice(("\xff\xfe", "x" * 5_000, " ", "a\tb", "\x7f"))}
        return {}

    def _noise(self, body: bytes) -> bytes:
        return self._random.randbytes(self._random.randrange(len(body) * 2 + 1))

    def _cut(self, body: bytes) -> bytes:
        return body[: self._random.randrange(len(body) + 1)]

    def _maybe_cut(self, body: bytes) -> bytes:
        return self._cut(body) if self._random.random() < 0.3 else body

    def _flipped(self, body: bytes) -> bytes:
        changed = bytearray(body)
        for _ in range(self._random.randrange(1, 20) if body else 0):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)

    def _spliced(self, body: bytes) -> bytes:
        other = self._random.choice(self._random.choice(list(self._good.values())))
        return self._cut(body) + other[self._random.randrange(len(other) + 1) :]

    def _repeated(self, body: bytes) -> bytes:
        return body * self._random.randrange(2, 50) if len(body) < 50_000 else body + body

    def _swollen(self, body: bytes) -> bytes:
        """Numbers of a JSON body become impossible ones."""
        number = self._random.choice(_NUMBERS).encode()
        return self._replaced(body, b"0123456789", number)

    def _strange_text(self, body: bytes) -> bytes:
        text = self._random.choice(_STRINGS)
        start = body.find(b'"', self._random.randrange(len(body) + 1))
        end = body.find(b'"', start + 1)
        return body[:start] + text + body[end + 1 :] if 0 <= start < end else body + text

    def _replaced(self, body: bytes, alphabet: bytes, by: bytes) -> bytes:
        places = [place for place, byte in enumerate(body) if byte in alphabet]
        if not places:
            return body
        start = end = self._random.choice(places)
        while end < len(body) and body[end] in alphabet:
            end += 1
        return body[:start] + by + body[end:]


def _deep(body: bytes) -> bytes:
    """Objects in lists in objects, around a good body."""
    levels = 50_000
    return b'[{"tags":' * levels + (body or b"1") + b"}]" * levels


def _deep_attributes(body: bytes) -> bytes:
    """An export whose attribute is a map in a map in a map, as deep as protobuf libraries read."""
    value = AnyValue(string_value="deep")
    for _ in range(28):
        value = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=value)]))
    deep = ExportTraceServiceRequest.FromString(export(chat()))
    deep.resource_spans[0].scope_spans[0].spans[0].attributes.append(KeyValue(key="app.deep", value=value))
    return deep.SerializeToString() + body


def _deeper(body: bytes) -> bytes:
    """Messages in messages, deeper than libraries read."""
    nested = body[:100]
    for _ in range(2_000):
        length = len(nested)
        nested = b"\x0a" + bytes((length & 127 | 128, length >> 7 & 127 | 128, length >> 14)) + nested
    return nested


_COMPRESSORS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
    "zstd": zstandard.compress,
}


def _good_bodies() -> Mapping[tuple[str, str], list[bytes]]:
    events = [wire_event(f"good-{number}", cost={"amount": "0.01"}, tags={"plan": "pro"}) for number in range(20)]
    lines = b"\n".join(json.dumps(event).encode() for event in events)
    otlp, signals = _FIXTURES / "otlp", _FIXTURES / "signals"
    return {
        ("/v1/events", JSON): [json.dumps(events).encode(), lines, json.dumps(events[0]).encode()],
        ("/v1/litellm", JSON): [path.read_bytes() for path in sorted((_FIXTURES / "litellm").glob("litellm.*.json"))],
        ("/v1/traces", PROTOBUF): [path.read_bytes() for path in sorted(otlp.glob("*.pb"))],
        ("/v1/traces", JSON): [path.read_bytes() for path in sorted(otlp.glob("*.json")) if path.name != "index.json"],
        ("/v1/logs", PROTOBUF): [path.read_bytes() for path in sorted(signals.glob("*.pb"))],
        ("/v1/logs", JSON): [b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1"}]}]}]}'],
        ("/v1/metrics", PROTOBUF): [path.read_bytes() for path in sorted(signals.glob("*.pb"))],
        ("/v1/metrics", JSON): [b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{}}]}]}]}'],
    }
