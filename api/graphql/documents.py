"""A query text is parsed and validated once; after that it costs one dictionary look-up.

Validation is most of the price of a small query, so clients should send values as variables and keep the text constant.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from api.graphql.errors import OPERATION_RESOLUTION_FAILURE, PERSISTED_QUERY_NOT_FOUND, VALIDATION_FAILED
from api.graphql.limits import (
    Limits,
    QueryTooComplex,
    chosen_operation,
    document_errors,
    nesting,
    operation_cost,
    operations_of,
)
from core.errors import InvalidInput

MAX_KEPT_LENGTH: Final = 10_000
"""Longer texts are not kept: a bounded number of entries is then a bounded number of bytes."""

RULES: Final = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)

V = TypeVar("V")


class PersistedQueryNotFound(InvalidInput):
    """The hash is not known here; the client sends the text along with it next."""

    code = PERSISTED_QUERY_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")  # the exact word Apollo's clients look for


class PersistedQueryMismatch(InvalidInput):
    """The text does not have the hash it came with."""

    code = "BAD_REQUEST"

    def __init__(self) -> None:
        super().__init__("provided sha does not match query")


class OperationNameMissing(InvalidInput):
    """The document has several operations, and none was named."""

    code = OPERATION_RESOLUTION_FAILURE

    def __init__(self) -> None:
        super().__init__("The document has several operations: say which one to run in operationName.")


@dataclass
class Recent(Generic[V]):
    """The most recently used values by text, never more than `capacity`."""

    capacity: int
    values: OrderedDict[str, V] = field(default_factory=OrderedDict)

    def get(self, key: str) -> V | None:
        """The value kept under `key`, which is now the most recently used one."""
        value = self.values.get(key)
        if value is not None:
            self.values.move_to_end(key)
        return value

    def put(self, key: str, value: V) -> None:
        """Keep `value`, at the cost of the least recently used one."""
        self.values[key] = value
        if len(self.values) > self.capacity:
            self.values.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Checked:
    """A parsed document and what is wrong with it."""

    document: DocumentNode
    errors: tuple[GraphQLError, ...]


class Documents:
    """The documents one schema has seen, checked; and the texts clients registered by their hash."""

    def __init__(self, limits: Limits, *, introspection: bool = True, capacity: int = 256) -> None:
        self.limits = limits
        self.introspection = introspection
        self.checked: Recent[Checked] = Recent(capacity)
        self.persisted: Recent[str] = Recent(4 * capacity)
        self.rules = RULES if introspection else (*RULES, NoSchemaIntrospectionCustomRule)

    def check(self, schema: GraphQLSchema, text: str, document: DocumentNode) -> Checked:
        """The checked document. Its size is looked at first: validation is quadratic in the fields of one selection."""
        if (known := self.checked.get(text)) is not None:
            return known
        errors = document_errors(document, self.limits) or self._invalid(schema, document)
        checked = Checked(document, tuple(errors))
        if len(text) <= MAX_KEPT_LENGTH:
            self.checked.put(text, checked)
        return checked

    def _invalid(self, schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
        errors = validate(schema, document, self.rules, max_errors=20, hide_suggestions=not self.introspection)
        for error in errors:
            error.extensions = {"code": VALIDATION_FAILED, **(error.extensions or {})}
        return errors

    def text_of(self, query: str | None, extensions: Mapping[str, Any] | None) -> str | None:
        """The query's text, by Apollo's automatic persisted queries when only its hash came.

        Raises PersistedQueryNotFound for an unknown hash, PersistedQueryMismatch for a text with another one.
        """
        persisted = (extensions or {}).get("persistedQuery")
        if not isinstance(persisted, dict):
            return query
        sha256 = str(persisted.get("sha256Hash"))
        if not query:
            return self._persisted(sha256)
        if hashlib.sha256(query.encode()).hexdigest() != sha256:
            raise PersistedQueryMismatch
        if len(query) <= MAX_KEPT_LENGTH:
            self.persisted.put(sha256, query)
        return query

    def is_subscription(self, text: str, operation_name: str | None) -> bool:
        """Whether the operation asked for is a subscription; a text that cannot be parsed has none."""
        known = self.checked.get(text)
        try:
            document = known.document if known else parse(text, max_tokens=self.limits.max_tokens)
        except GraphQLError:
            return False
        operation = chosen_operation(document, operation_name)
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    def _persisted(self, sha256: str) -> str:
        text = self.persisted.get(sha256)
        if text is None:
            raise PersistedQueryNotFound
        return text


class GuardedOperation(SchemaExtension):
    """Puts `Documents` and its limits around one operation, on every transport."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.limits = documents.limits

    def on_parse(self) -> Iterator[None]:
        """A known document is not parsed again; a new one has a bounded number of tokens."""
        context = self.execution_context
        context.parse_options["max_tokens"] = self.limits.max_tokens
        if (known := self.documents.checked.get(context.query or "")) is not None:
            context.graphql_document = known.document
        yield

    def on_validate(self) -> Iterator[None]:
        """The operation is one the schema and the limits allow, and there is no doubt which one it is."""
        context = self.execution_context
        document = context.graphql_document
        if document is not None:
            checked = self.documents.check(context.schema._schema, context.query or "", document)  # noqa: SLF001
            context.pre_execution_errors = list(checked.errors) or self._request_errors(document)
        yield

    def on_execute(self) -> Iterator[None]:
        """Nothing that costs too much is started; the answer says what it cost, in `extensions.cost`."""
        context = self.execution_context
        cost = self._cost()
        context.extensions_results["cost"] = {"requested": cost, "maximum": self.limits.max_cost}
        if cost > self.limits.max_cost:
            raise QueryTooComplex("cost of the query is", cost, self.limits.max_cost)
        yield

    def _cost(self) -> int:
        context = self.execution_context
        document = context.graphql_document
        operation = chosen_operation(document, self._provided_name) if document else None
        if document is None or operation is None:
            return 0
        schema = context.schema._schema  # noqa: SLF001
        return operation_cost(schema, document, operation, context.variables or {}, self.limits.unpaged_size)

    def _request_errors(self, document: DocumentNode) -> list[GraphQLError]:
        depth = nesting(self.execution_context.variables, self.limits.max_variables_depth)
        refusals: list[InvalidInput] = []
        if self._provided_name is None and len(operations_of(document)) > 1:
            refusals.append(OperationNameMissing())
        if depth > self.limits.max_variables_depth:
            refusals.append(QueryTooComplex("nesting of the variables is", depth, self.limits.max_variables_depth))
        return [GraphQLError(str(each), original_error=each) for each in refusals]

    @property
    def _provided_name(self) -> str | None:
        name: str | None = self.execution_context._provided_operation_name  # noqa: SLF001
        return name
