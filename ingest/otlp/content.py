"""What must not be kept: prompts, answers, headers, traces of code. Named here, dropped while decoding."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_CONTENT: Final = re.compile(
    r"""
      .*\.messages | .*\.(input|output)_messages\..* | .*messages?_events | (.*\.)?all_messages
    | (input|output)\.value | gen_ai\.headers | gen_ai\.system_instructions | gen_ai\.(prompt|completion)(\.\d+\..*)?
    | gen_ai\.tool\.(definitions|args|call\.(arguments|result)) | embedding\.embeddings\..*
    | (llm|embedding)\.invocation_parameters(\..*)? | llm\.(openai|tools|prompts?)\..*
    | llm\.prompt_template\.(template|variables) | (request|response)_data | hidden_params | final_result
    | exception\.(stacktrace|message) | error\.(message|stack_trace) | model_request_parameters
    | logfire\.(msg|json_schema) | ai\.(prompt|request|response\.(text|object|reasoning|toolCalls|headers))(\..*)?
    | ai\.(value|values|embedding|embeddings|toolCall\.(args|result))
    | (traceloop\.entity|langfuse\..*)\.(input|output)
    """,
    re.VERBOSE,
)

SECRETS: Final = re.compile(
    r"authorization|api[._-]?key|password|passwd|secret|cookie|bearer|credential", re.IGNORECASE
)
"""Parts of a name that no tag may have, whatever an allow-list says."""

OUTPUT: Final = "output.value"
READ_ONCE: Final = frozenset({OUTPUT, "llm.invocation_parameters", "embedding.invocation_parameters"})
"""Content that also tells a response id, usage or a model: let through to be read, never to be kept."""


@lru_cache(maxsize=16_384)
def is_content(name: str) -> bool:
    """Whether an attribute of this name carries content."""
    return _CONTENT.fullmatch(name) is not None
