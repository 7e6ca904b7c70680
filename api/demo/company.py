"""The demo company: it sells office software with AI in it, to forty tenants in three regions.

Its ninety days hold what a cost report should make visible: a launch that gets dearer by the day (`agent-research`),
a prompt that made one feature twice as expensive for a week (`triage-system` v4), a model nobody has priced, retries
that are paid for twice, and a few users who cause most of the cost.
"""

from __future__ import annotations

from typing import Final

from api.demo.services import (
    A100,
    CRM,
    GEMINI_FLASH,
    GEMINI_PRO,
    GPT_4O,
    GPT_4O_MINI,
    GPT_41,
    HAIKU,
    L4,
    PREVIEW,
    REALTIME,
    SANDBOX,
    SONNET,
    WEB_SEARCH,
    chat,
    embed,
    gpu,
    rerank,
    retrieve,
    review,
    tool,
)
from api.demo.terms import Feature, Prompt, PromptVersion, Ramp, Region, Tenant, Tokens

STORY_DAYS: Final = 90
DAILY_GROWTH: Final = 0.004
STAGING_SHARE: Final = 0.03
EXPERIMENT_ARMS: Final = ("control", "concise-answers")

REGIONS: Final = (
    Region("eu-west", "Europe/Dublin", ("eu-west-1a", "eu-west-1b")),
    Region("us-east", "America/New_York", ("us-east-1a", "us-east-1b", "us-east-1c")),
    Region("ap-south", "Asia/Kolkata", ("ap-south-1a",)),
)

TENANTS: Final = (
    Tenant("northwind-logistics", "enterprise", "us-east", 240),
    Tenant("helvetia-insurance", "enterprise", "eu-west", 170),
    Tenant("deccan-telecom", "enterprise", "ap-south", 130),
    Tenant("bluepeak-health", "enterprise", "us-east", 105),
    Tenant("atelier-mode", "enterprise", "eu-west", 86),
    Tenant("ganges-retail", "enterprise", "ap-south", 70),
    Tenant("redwood-legal", "enterprise", "us-east", 58),
    Tenant("nordlys-energy", "enterprise", "eu-west", 50),
    Tenant("harbor-freight-lines", "pro", "us-east", 46),
    Tenant("lumen-education", "pro", "eu-west", 41),
    Tenant("coral-travel", "pro", "us-east", 36),
    Tenant("sahyadri-foods", "pro", "ap-south", 32),
    Tenant("pixel-foundry", "pro", "us-east", 29),
    Tenant("brasserie-group", "pro", "eu-west", 26),
    Tenant("summit-realty", "pro", "us-east", 23),
    Tenant("orchid-clinics", "pro", "ap-south", 21),
    Tenant("fjord-software", "pro", "eu-west", 19),
    Tenant("prairie-bank", "pro", "us-east", 17),
    Tenant("tulip-marketing", "pro", "eu-west", 15),
    Tenant("monsoon-media", "pro", "ap-south", 14),
    Tenant("granite-builders", "pro", "us-east", 13),
    Tenant("cedar-accounting", "pro", "us-east", 12),
    Tenant("vltava-games", "pro", "eu-west", 11),
    Tenant("indigo-textiles", "pro", "ap-south", 10),
    Tenant("maple-hr", "free", "us-east", 12),
    Tenant("pico-robotics", "free", "eu-west", 11),
    Tenant("sunrise-tutors", "free", "ap-south", 10),
    Tenant("kite-surf-club", "free", "eu-west", 9),
    Tenant("desert-rose-events", "free", "us-east", 8),
    Tenant("old-town-books", "free", "eu-west", 7),
    Tenant("bengal-crafts", "free", "ap-south", 7),
    Tenant("lakeside-vets", "free", "us-east", 6),
    Tenant("alpine-guides", "free", "eu-west", 6),
    Tenant("copper-kettle", "free", "us-east", 5),
    Tenant("palm-yoga", "free", "ap-south", 5),
    Tenant("juniper-labs", "free", "us-east", 4),
    Tenant("delta-cycling", "free", "eu-west", 4),
    Tenant("rivet-workshop", "free", "us-east", 3),
    Tenant("saffron-kitchen", "free", "ap-south", 3),
    Tenant("quiet-harbor", "free", "eu-west", 2),
)

PAID: Final = frozenset({"pro", "enterprise"})
ENTERPRISE: Final = frozenset({"enterprise"})


def _prompt(name: str, version: str) -> Prompt:
    return Prompt(name, (PromptVersion(version),))


FEATURES: Final = (
    Feature(
        name="chat-assistant",
        team="growth",
        service_name="assistant-api",
        endpoint="/v1/chat",
        popularity=20,
        prompt=_prompt("assistant-system", "v12"),
        steps=(
            embed(40),
            retrieve(8),
            chat(
                (GPT_4O_MINI, 0.55),
                (GPT_4O, 0.45),
                fallback=HAIKU,
                usage=Tokens(input=7500, output=520, cached=0.6),
                cache_hits=0.22,
            ),
        ),
    ),
    Feature(
        name="support-triage",
        team="support",
        service_name="support-triage",
        endpoint="/v1/tickets/triage",
        popularity=16,
        prompt=Prompt(
            "triage-system",
            (
                PromptVersion("v3"),
                PromptVersion("v4", from_day=60, input_scale=2.0, failure_scale=3.0),
                PromptVersion("v5", from_day=67),
            ),
        ),
        steps=(
            embed(180),
            retrieve(12),
            rerank(),
            chat((HAIKU, 0.7), (SONNET, 0.3), fallback=GPT_41, usage=Tokens(input=9000, output=380)),
            tool(CRM, "requests", 1, "0.0002"),
            review(1.1, chance=0.012),
        ),
    ),
    Feature(
        name="semantic-search",
        team="search",
        service_name="search-api",
        endpoint="/v1/search",
        popularity=24,
        prompt=_prompt("search-answer", "v7"),
        steps=(
            embed(24),
            retrieve(16),
            rerank(),
            chat((GEMINI_FLASH, 1.0), fallback=GPT_4O_MINI, usage=Tokens(input=9500, output=260), chance=0.6),
        ),
    ),
    Feature(
        name="agent-research",
        team="search",
        service_name="research-agent",
        endpoint="/v1/research",
        popularity=11,
        plans=PAID,
        prompt=_prompt("research-planner", "v1"),
        adoption=Ramp(from_day=45, to_day=88, start=0.08, end=0.85),
        rounds=Ramp(from_day=45, to_day=88, start=3, end=8),
        steps=(
            embed(60),
            retrieve(20),
            chat((SONNET, 1.0), fallback=GPT_41, usage=Tokens(input=4500, output=500, cached=0.4), stage="plan"),
        ),
        loop=(
            tool(WEB_SEARCH, "requests", 1, "0.008", chance=0.8),
            chat(
                (SONNET, 0.75),
                (GPT_41, 0.25),
                fallback=GPT_4O,
                usage=Tokens(input=5200, output=480, cached=0.5),
                stage="agent_step",
            ),
        ),
    ),
    Feature(
        name="doc-summaries",
        team="docs",
        service_name="docs-ai",
        endpoint="/v1/documents/summary",
        popularity=12,
        nightly=4,
        prompt=_prompt("summary-system", "v4"),
        steps=(
            embed(2600),
            chat((GEMINI_FLASH, 0.6), (GPT_4O_MINI, 0.4), fallback=HAIKU, usage=Tokens(input=26000, output=900)),
        ),
    ),
    Feature(
        name="translation",
        team="docs",
        service_name="docs-ai",
        endpoint="/v1/documents/translate",
        popularity=9,
        prompt=_prompt("translate-system", "v3"),
        steps=(chat((GPT_4O_MINI, 0.7), (GEMINI_FLASH, 0.3), fallback=GPT_41, usage=Tokens(input=3600, output=3300)),),
    ),
    Feature(
        name="image-captions",
        team="growth",
        service_name="media-ai",
        endpoint="/v1/images/caption",
        popularity=9,
        prompt=_prompt("caption-style", "v2"),
        steps=(
            gpu(L4, 4),
            chat((GPT_4O_MINI, 1.0), fallback=GEMINI_FLASH, usage=Tokens(input=600, output=70), chance=0.5),
        ),
    ),
    Feature(
        name="email-drafts",
        team="sales",
        service_name="outreach-api",
        endpoint="/v1/emails/draft",
        popularity=12,
        prompt=_prompt("draft-system", "v9"),
        steps=(
            tool(CRM, "requests", 2, "0.0002"),
            chat(
                (GPT_4O, 0.62),
                (GPT_4O_MINI, 0.32),
                (PREVIEW, 0.06),
                fallback=HAIKU,
                usage=Tokens(input=3800, output=420, cached=0.3),
            ),
        ),
    ),
    Feature(
        name="meeting-notes",
        team="sales",
        service_name="meetings-api",
        endpoint="/v1/meetings/notes",
        popularity=7,
        plans=PAID,
        prompt=_prompt("notes-system", "v5"),
        steps=(
            gpu(A100, 24),
            chat((GPT_41, 0.6), (GEMINI_PRO, 0.4), fallback=GPT_4O, usage=Tokens(input=17000, output=1100)),
            embed(700),
        ),
    ),
    Feature(
        name="code-review",
        team="platform",
        service_name="code-review-bot",
        endpoint="/v1/pulls/review",
        popularity=8,
        plans=PAID,
        prompt=_prompt("reviewer-system", "v6"),
        steps=(
            embed(900),
            retrieve(10),
            chat((SONNET, 0.7), (GEMINI_PRO, 0.3), fallback=GPT_41, usage=Tokens(input=17000, output=1300, cached=0.5)),
            tool(SANDBOX, "seconds", 20, "0.000028", chance=0.4),
        ),
    ),
    Feature(
        name="data-extraction",
        team="platform",
        service_name="extraction-worker",
        endpoint="/v1/extract",
        popularity=10,
        plans=PAID,
        prompt=_prompt("extract-schema", "v8"),
        steps=(
            chat(
                (GPT_4O_MINI, 0.55),
                (GEMINI_FLASH, 0.39),
                (PREVIEW, 0.06),
                fallback=GPT_4O,
                usage=Tokens(input=12000, output=1600),
            ),
            review(1.4, chance=0.02),
        ),
    ),
    Feature(
        name="voice-agent",
        team="support",
        service_name="voice-gateway",
        endpoint="/v1/voice/turn",
        popularity=4,
        plans=ENTERPRISE,
        prompt=_prompt("voice-system", "v2"),
        steps=(
            retrieve(6),
            chat((REALTIME, 1.0), fallback=GPT_4O_MINI, usage=Tokens(input=1900, output=520, audio=0.55)),
            tool(CRM, "requests", 1, "0.0002", chance=0.5),
            review(2.0, chance=0.015),
        ),
    ),
)
