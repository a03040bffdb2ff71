"""As much of Sesam's transformation language as the sample pipes use; all else is an error that names it.

    transforms   filter  copy  add  comment
    expressions  eq  neq  is-not-null  first  string  datetime-format  ni-id  case-eq
                 and paths: "_S.crm-customer:Name"

Namespaces as with `namespaced_identifiers` on: `add` puts an unqualified property into the pipe's namespace
(`::name` stays bare), a pattern without a namespace matches in all of them. Source: Sesam's DTL reference.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from local.node.transit import NI, Entity, Moment, Value, plain

type Expression = object


class DtlError(ValueError):
    """A rule that this evaluator does not know or cannot apply; it says which."""


@dataclass
class _Scope:
    """One entity on its way: `_S` as it came, `_T` as it will go, in the pipe's namespace."""

    source: Entity
    namespace: str
    target: Entity = field(default_factory=dict)


def transform(rules: Sequence[Expression], source: Entity, namespace: str) -> Entity:
    """Apply a rule's transforms to an entity.

    The target has the source's `_id` and `_deleted` from the beginning. A `filter` that holds it back ends
    the rule there and marks it `_filtered`: what becomes of it is for the sink to decide.
    """
    scope = _Scope(source, namespace)
    scope.target |= {name: source[name] for name in ("_id", "_deleted") if name in source}
    for step in rules:
        name, arguments = _call(step)
        if name not in _TRANSFORMS:
            raise DtlError(f"the DTL transform {name!r} is not known to the stand-in node")
        if not _TRANSFORMS[name](scope, *arguments):
            return scope.target | {"_filtered": True}
    return scope.target


def _call(expression: Expression) -> tuple[str, Sequence[Expression]]:
    if not isinstance(expression, list) or not expression or not isinstance(expression[0], str):
        raise DtlError(f"{expression!r} is no function call")
    return expression[0], expression[1:]


# Transforms: they change the target, and answer whether the entity goes on.


def _filter(scope: _Scope, condition: Expression) -> bool:
    return _evaluate(condition, scope) not in (None, False, [])


def _copy(scope: _Scope, include: Expression, exclude: Expression = ()) -> bool:
    wanted, unwanted = _patterns(include), _patterns(exclude)
    scope.target |= {
        name: value
        for name, value in scope.source.items()
        if any(matches(name) for matches in wanted) and not any(matches(name) for matches in unwanted)
    }
    return True


def _add(scope: _Scope, name: Expression, value: Expression) -> bool:
    if not isinstance(name, str):
        raise DtlError("the stand-in node knows 'add' only with a literal name")
    scope.target[qualified(name, scope.namespace)] = _evaluate(value, scope)
    return True


def _comment(_scope: _Scope, *_text: Expression) -> bool:
    return True


_TRANSFORMS: Mapping[str, Callable[..., bool]] = {
    "filter": _filter,
    "copy": _copy,
    "add": _add,
    "comment": _comment,
}


def qualified(name: str, namespace: str) -> str:
    """Give a property its namespace, unless it has one, is reserved or special, or is escaped by `::`."""
    if name.startswith("::"):
        return name[2:]
    if name.startswith(("_", "$")) or ":" in name:
        return name
    return f"{namespace}:{name}"


def _patterns(given: Expression) -> list[Callable[[str], bool]]:
    if isinstance(given, list) and given[:1] == ["list"]:
        given = given[1:]
    return [_pattern(item) for item in ([given] if isinstance(given, str) else given)]  # type: ignore[attr-defined]  # a list of strings is all that is left


@cache
def _pattern(pattern: str) -> Callable[[str], bool]:
    # The last colon parts namespace and identifier, in pattern and in name.
    namespace, colon, identifier = pattern.rpartition(":")
    matches_namespace = _wildcard(namespace) if colon else re.compile(".*")
    matches_identifier = _wildcard(identifier)

    def matches(name: str) -> bool:
        own_namespace, _, own_identifier = name.rpartition(":")
        return bool(
            matches_namespace.fullmatch(own_namespace) and matches_identifier.fullmatch(own_identifier)
        )

    return matches


def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


# Expressions: they give a value. A list is mapped, nulls in it are ignored, null gives null.


def _evaluate(expression: Expression, scope: _Scope) -> Value:
    if isinstance(expression, str):
        return _path(expression, scope)
    if not isinstance(expression, list):
        return expression  # type: ignore[return-value]  # a JSON literal
    name, arguments = _call(expression)
    if name not in _FUNCTIONS:
        raise DtlError(f"the DTL function {name!r} is not known to the stand-in node")
    return _FUNCTIONS[name](*(_evaluate(argument, scope) for argument in arguments))


def _path(expression: str, scope: _Scope) -> Value:
    variable, dot, name = expression.partition(".")
    if not dot or not variable.startswith("_"):
        return expression
    if variable not in ("_S", "_T") or (":" not in name and not name.startswith(("_", "$"))):
        raise DtlError(f"the path {expression!r} is not known to the stand-in node: name the namespace")
    return (scope.source if variable == "_S" else scope.target).get(name)


def _each(value: Value, function: Callable[[Value], Value]) -> Value:
    if isinstance(value, list):
        return [function(item) for item in value if item is not None]
    return None if value is None else function(value)


def _first(value: Value) -> Value:
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _datetime_format(template: Value, value: Value) -> Value:
    if not isinstance(template, str):
        raise DtlError("the first argument of 'datetime-format' is its format")
    return _each(
        value, lambda item: item.rounded_down.strftime(template) if isinstance(item, Moment) else None
    )


def _ni_id(item: Value) -> Value:
    if isinstance(item, NI):
        return item.bare
    return item.rpartition(":")[2] if isinstance(item, str) else None


def _case_eq(value: Value, *cases: Value) -> Value:
    pairs = zip(cases[::2], cases[1::2], strict=False)
    otherwise = cases[-1] if len(cases) % 2 else None
    return next((then for case, then in pairs if case == value and type(case) is type(value)), otherwise)


_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "eq": lambda one, other: one == other,
    "neq": lambda one, other: one != other,
    "is-not-null": lambda value: _first(value) is not None,
    "first": _first,
    "string": lambda value: _each(value, plain),
    "datetime-format": _datetime_format,
    "ni-id": lambda value: _each(value, _ni_id),
    "case-eq": _case_eq,
}
