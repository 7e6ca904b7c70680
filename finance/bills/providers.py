"""Who bills, under the name by which events know them."""

from __future__ import annotations

from typing import Final

from pricing.names import canonical_provider

_NAMES: Final = {
    "amazon web services": "aws",
    "amazon-web-services": "aws",
    "microsoft": "azure",
    "microsoft azure": "azure",
    "google cloud": "google",
    "google cloud platform": "google",
    "gcp": "google",
}
"""Names that FOCUS files and people write, in lower case."""


def provider_of(name: str) -> str:
    """The canonical name of a provider, however its bill or an instrumentation spells it; '' for none."""
    plain = name.strip().lower()
    return _NAMES.get(plain) or canonical_provider(plain)
