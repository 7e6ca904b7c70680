"""A schema that is fast, bounded and discreet on every transport."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult

from api.graphql.documents import Documents, GuardedOperation
from api.graphql.errors import presentable
from api.graphql.executor import FastExecutor
from api.graphql.limits import Limits
from api.graphql.scalars import SCALARS


class GuardedSchema(strawberry.Schema):
    """A Strawberry schema whose results may be sent to a client as they are."""

    def __init__(self, documents: Documents, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.documents = documents

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Logs nothing: most errors are the client's own, and `presentable` logs the others."""

    async def _handle_execution_result(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        # Every result of every transport passes here last, those of failed hooks and of single events included.
        return self._presentable(await super()._handle_execution_result(*args, **kwargs))

    def execute_sync(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """The result without an event loop, as safe to show as that of `execute`."""
        return self._presentable(super().execute_sync(*args, **kwargs))

    def _presentable(self, result: ExecutionResult) -> ExecutionResult:
        if result.errors:
            result.errors = presentable(result.errors, hide_suggestions=not self.documents.introspection)
        return result


def build_schema(
    query: type,
    mutation: type | None = None,
    subscription: type | None = None,
    *,
    limits: Limits,
    introspection: bool = True,
    types: Iterable[type] = (),
) -> GuardedSchema:
    """The schema of these root types, with `limits` on every document.

    Without `introspection`, errors suggest no names either: both would give the schema away. `types` are those no field
    mentions, such as the members behind an interface.
    """
    documents = Documents(limits, introspection=introspection)
    return GuardedSchema(
        documents,
        query,
        mutation,
        subscription,
        types=types,
        extensions=[lambda: GuardedOperation(documents)],
        execution_context_class=FastExecutor,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
