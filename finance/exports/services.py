"""FOCUS's words for our cost categories: the service category and subcategory, of its allowed values."""

from __future__ import annotations

from typing import Final

_AI: Final = "AI and Machine Learning"
_GENERATIVE: Final = (_AI, "Generative AI")
_OTHER: Final = ("Other", "Other (Other)")

_SERVICES: Final = {
    "llm": _GENERATIVE,
    "image": _GENERATIVE,
    "speech": _GENERATIVE,
    "embedding": (_AI, "Machine Learning"),
    "rerank": (_AI, "Machine Learning"),
    "moderation": (_AI, "Other (AI and Machine Learning)"),
    "vector_db": ("Databases", "Other (Databases)"),
    "database": ("Databases", "Other (Databases)"),
    "cache": ("Databases", "Caching"),
    "search": ("Analytics", "Search"),
    "gpu": ("Compute", "Other (Compute)"),
    "compute": ("Compute", "Other (Compute)"),
    "egress": ("Networking", "Data Transfer"),
    "storage": ("Storage", "Other (Storage)"),
}


def service_of(cost_category: str | None, model: str | None) -> tuple[str, str]:
    """The service's category and subcategory: of a model's call without a category, generative AI; else, other."""
    if cost_category is None and model is not None:
        return _GENERATIVE
    return _SERVICES.get(cost_category or "", _OTHER)
