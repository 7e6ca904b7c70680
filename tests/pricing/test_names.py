from __future__ import annotations

import pytest

from pricing.names import canonical_model, canonical_provider, model_spellings


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("openai", "openai"),
        (" OpenAI ", "openai"),
        ("openai.chat", "openai"),
        ("openai.responses", "openai"),
        ("anthropic.messages", "anthropic"),
        ("azure.ai.openai", "azure"),
        ("az.ai.openai", "azure"),
        ("azure.ai.inference", "azure"),
        ("azure_ai", "azure"),
        ("azure-openai.chat", "azure"),
        ("x_ai", "x-ai"),
        ("xai", "x-ai"),
        ("xai.chat", "x-ai"),
        ("gcp.gen_ai", "google"),
        ("gcp.vertex_ai", "google"),
        ("gcp.gemini", "google"),
        ("vertex_ai", "google"),
        ("gemini", "google"),
        ("google.generative-ai", "google"),
        ("google.vertex.chat", "google"),
        ("aws.bedrock", "aws"),
        ("bedrock", "aws"),
        ("amazon-bedrock", "aws"),
        ("mistral_ai", "mistral"),
        ("together_ai", "together"),
        ("litellm", ""),
        ("", ""),
        ("aws.sagemaker", "aws.sagemaker"),
        ("my-openai-proxy", "my-openai-proxy"),
    ],
)
def test_a_provider_has_one_name(name: str, canonical: str) -> None:
    assert canonical_provider(name) == canonical


@pytest.mark.parametrize(
    ("provider", "model", "canonical"),
    [
        ("google", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("google", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("google", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("openai", "openai/GPT-4o", "gpt-4o"),
        ("azure", "azure/gpt-4o", "gpt-4o"),
        ("x-ai", "xai/grok-3", "grok-3"),
        ("openrouter", "openai/gpt-4o", "openai/gpt-4o"),
        ("fireworks", "accounts/fireworks/models/llama", "accounts/fireworks/models/llama"),
        ("aws", "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"),
        ("aws", "us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"),
    ],
)
def test_a_model_loses_the_path_that_leads_to_it(provider: str, model: str, canonical: str) -> None:
    assert canonical_model(provider, model) == canonical


def test_a_geographic_profile_is_also_looked_up_without_its_region() -> None:
    assert model_spellings("aws", "eu.meta.x") == ("eu.meta.x", "meta.x")
    assert model_spellings("aws", "global.meta.x") == ("global.meta.x",)
    assert model_spellings("openai", "eu.meta.x") == ("eu.meta.x",)


def test_of_an_arn_only_the_resource_is_looked_up() -> None:
    arn = "arn:aws:bedrock:us-east-1:1:provisioned-model/abc123"
    assert model_spellings("aws", arn) == ("abc123",)
