"""Windows that are nearly the same, such as one month in all time zones, as one span with cuts in it. Pure.

The store sums each stretch between two cuts; a window is some of the stretches of its span.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.time import Window

NEAR: Final = timedelta(hours=27)
"""Local midnights of one date lie at most 26 hours apart."""


@dataclass(frozen=True, slots=True)
class Span:
    """From the first start to the last end of some windows; `cuts` is where any of them starts or ends within it."""

    window: Window
    cuts: tuple[datetime, ...] = ()


def spans(windows: Iterable[Window]) -> dict[Window, Span]:
    """The span that each window is a part of."""
    clusters: list[list[Window]] = []
    for window in sorted(set(windows), key=lambda each: (each.start, each.end)):
        near = (cluster for cluster in clusters if _is_near(cluster[0], window))
        cluster = next(near, None)
        if cluster is None:
            clusters.append([window])
        else:
            cluster.append(window)
    return {window: _span(cluster) for cluster in clusters for window in cluster}


def _is_near(one: Window, other: Window) -> bool:
    return abs(one.start - other.start) <= NEAR and abs(one.end - other.end) <= NEAR


def _span(cluster: Collection[Window]) -> Span:
    if len(cluster) == 1:
        return Span(next(iter(cluster)))
    edges = sorted({edge for window in cluster for edge in (window.start, window.end)})
    return Span(Window(edges[0], edges[-1]), tuple(edges[:-1]))
