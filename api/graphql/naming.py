"""GraphQL names and enums out of the registries."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import strawberry


def camel(name: str) -> str:
    """`cost_per_request` as `costPerRequest`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def described_enum(registry: type[Enum], name: str, description: str, describe: Callable[[Any], str]) -> None:
    """Make the registry itself a GraphQL enum, every value with its description."""
    enum: Any = strawberry.enum(registry, name=name, description=description)
    for value in enum.__strawberry_definition__.values:
        value.description = describe(registry[value.name])
