"""What a document may ask for. Every check is linear in the document's length, whatever its fragments repeat.

A fragment is measured once, and its measure is added wherever it is spread: a document whose fragments double at every
level costs as little to refuse as it cost to send.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from core.errors import InvalidInput

PAGE_ARGUMENTS: Final = ("first", "last")


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds, inclusive, on one request's document and variables."""

    max_tokens: int = 2_000
    max_depth: int = 12
    max_aliases: int = 30
    max_fields: int = 500
    max_root_fields: int = 10
    max_directives: int = 50
    max_operations: int = 5
    max_cost: int = 20_000
    """One object is 1, a list is as many as its page asks for; leaves are free."""
    max_variables_depth: int = 40
    """Nesting of the variables' JSON; coercion recurses on it."""
    unpaged_size: int = 10
    """How many items a list without `first` or `last` is taken to have when its cost is estimated."""


class QueryTooComplex(InvalidInput):
    """The document goes beyond one of the limits."""

    code = "QUERY_TOO_COMPLEX"

    def __init__(self, what: str, found: int, limit: int) -> None:
        super().__init__(f"{what} {found if found < 10**9 else 'over a billion'}; the limit is {limit}")


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of a selection with all its fragments written out."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0
    directives: int = 0

    def beside(self, other: Measure) -> Measure:
        """Both selections next to each other."""
        return Measure(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.fields + other.fields,
            self.directives + other.directives,
        )


def document_errors(document: DocumentNode, limits: Limits) -> list[GraphQLError]:
    """One error per limit that the document exceeds; empty when it may be validated."""
    operations = operations_of(document)
    excesses: list[tuple[QueryTooComplex, OperationDefinitionNode | None]] = []
    if len(operations) > limits.max_operations:
        excesses.append((QueryTooComplex("number of operations is", len(operations), limits.max_operations), None))
    measure = _Measurer(document)
    for operation in operations:
        excesses += [(excess, operation) for excess in _excesses(operation, measure, limits)]
    return [GraphQLError(str(excess), node, original_error=excess) for excess, node in excesses]


def operations_of(document: DocumentNode) -> list[OperationDefinitionNode]:
    """The document's operations, in order."""
    return [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]


def chosen_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation of that name, or the first one when none is named."""
    operations = operations_of(document)
    return next((each for each in operations if name is None or (each.name and each.name.value == name)), None)


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """The document's fragments by name."""
    return {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}


def _excesses(operation: OperationDefinitionNode, measure: _Measurer, limits: Limits) -> Iterator[QueryTooComplex]:
    size = measure.selection(operation.selection_set)
    found = (
        ("depth of the operation is", size.depth, limits.max_depth),
        ("number of aliases is", size.aliases, limits.max_aliases),
        ("number of fields is", size.fields, limits.max_fields),
        ("number of root fields is", measure.roots(operation.selection_set), limits.max_root_fields),
        ("number of directives is", size.directives + len(operation.directives or ()), limits.max_directives),
    )
    return (QueryTooComplex(what, value, limit) for what, value, limit in found if value > limit)


class _Measurer:
    """Measures selections of one document, every fragment once."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = fragments_of(document)
        self.measured: dict[str, Measure] = {}
        self.rooted: dict[str, int] = {}

    def selection(self, selection_set: SelectionSetNode | None) -> Measure:
        total = Measure()
        for node in selection_set.selections if selection_set else ():
            inner = self._node(node)
            total = total.beside(inner).beside(Measure(directives=len(node.directives or ())))
        return total

    def _node(self, node: Any) -> Measure:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        inner = self.selection(node.selection_set)
        if isinstance(node, InlineFragmentNode):
            return inner
        # graphql-core has its own rule for the depth of introspection, whose ordinary queries are deep
        depth = 0 if node.name.value.startswith("__") else inner.depth + 1
        return Measure(depth, inner.aliases + bool(node.alias), inner.fields + 1, inner.directives)

    def _fragment(self, name: str) -> Measure:
        if name not in self.measured:
            self.measured[name] = Measure()  # ends a cycle, which validation reports
            if name in self.fragments:
                self.measured[name] = self.selection(self.fragments[name].selection_set)
        return self.measured[name]

    def roots(self, selection_set: SelectionSetNode) -> int:
        """Fields an operation has at its top, through fragments."""
        return sum(self._roots_of(node) for node in selection_set.selections)

    def _roots_of(self, node: Any) -> int:
        if isinstance(node, FieldNode):
            return 1
        if isinstance(node, InlineFragmentNode):
            return self.roots(node.selection_set)
        name = node.name.value
        if name not in self.rooted:
            self.rooted[name] = 0
            if name in self.fragments:
                self.rooted[name] = self.roots(self.fragments[name].selection_set)
        return self.rooted[name]


def nesting(value: object, limit: int) -> int:
    """How deep lists and objects nest in a JSON value; counting stops just beyond `limit`."""
    layer, depth = [value], 0
    while depth <= limit:
        layer = [inner for outer in layer for inner in _inner(outer)]
        if not layer:
            return depth
        depth += 1
    return depth


def _inner(value: object) -> Iterator[object]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (child for child in children if isinstance(child, dict | list))


def operation_cost(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, object],
    unpaged_size: int,
) -> int:
    """Objects the operation may resolve: 1 each, times the page asked for in every list above it; leaves are free.

    A field may weigh more: `strawberry.field(metadata={"cost": 5})`.
    """
    estimate = _CostEstimate(schema, document, operation, variables, unpaged_size)
    return estimate.selection(operation.selection_set, schema.get_root_type(operation.operation), None)


class _CostEstimate:
    """The cost of selections in one document with its variables' values."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, object],
        unpaged_size: int,
    ) -> None:
        self.schema = schema
        self.fragments = fragments_of(document)
        self.unpaged_size = unpaged_size
        self.variables = {**_default_integers(operation), **variables}
        self.known: dict[tuple[str, int | None], int] = {}

    def selection(self, selection_set: SelectionSetNode | None, parent: Any, page: int | None) -> int:
        """`page` is what the enclosing connection field asked for; its `edges` and `nodes` lists have that length."""
        return sum(self._node(node, parent, page) for node in selection_set.selections) if selection_set else 0

    def _node(self, node: Any, parent: Any, page: int | None) -> int:
        if isinstance(node, FieldNode):
            return self._field(node, parent, page)
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value, page)
        condition = node.type_condition
        return self.selection(
            node.selection_set, self.schema.get_type(condition.name.value) if condition else parent, page
        )

    def _field(self, node: FieldNode, parent: Any, page: int | None) -> int:
        field = getattr(parent, "fields", {}).get(node.name.value)
        if field is None or not node.selection_set:
            return 0
        inner, asked = get_named_type(field.type), self._page(node, field)
        if _is_list(field.type):
            count = asked or page or self.unpaged_size
            return count * (_weight(field) + self.selection(node.selection_set, inner, None))
        return _weight(field) + self.selection(node.selection_set, inner, asked)

    def _fragment(self, name: str, page: int | None) -> int:
        key = (name, page)
        if key not in self.known:
            self.known[key] = 0
            if (fragment := self.fragments.get(name)) is not None:
                parent = self.schema.get_type(fragment.type_condition.name.value)
                self.known[key] = self.selection(fragment.selection_set, parent, page)
        return self.known[key]

    def _page(self, node: FieldNode, field: GraphQLField) -> int | None:
        for name in PAGE_ARGUMENTS:
            if name in field.args:
                given = next((each for each in node.arguments or () if each.name.value == name), None)
                size = self._integer(given) if given else None
                size = field.args[name].default_value if size is None else size
                if isinstance(size, int):
                    return max(size, 1)
        return None

    def _integer(self, argument: ArgumentNode) -> object:
        if isinstance(argument.value, VariableNode):
            return self.variables.get(argument.value.name.value)
        return int(argument.value.value) if isinstance(argument.value, IntValueNode) else None


def _default_integers(operation: OperationDefinitionNode) -> dict[str, object]:
    return {
        each.variable.name.value: int(each.default_value.value)
        for each in operation.variable_definitions or ()
        if isinstance(each.default_value, IntValueNode)
    }


def _is_list(field_type: Any) -> bool:
    return isinstance(field_type.of_type if isinstance(field_type, GraphQLNonNull) else field_type, GraphQLList)


def _weight(field: GraphQLField) -> int:
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    weight: int = definition.metadata.get("cost", 1) if definition else 1
    return weight
