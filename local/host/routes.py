"""Route templates: which function a path belongs to, and its parameters (facts/functions.md §3.2).

A template is segments: `literal`, `{p}`, `{p?}` (optional, last), `{p:int}` (constrained) and `{*rest}` (what
is left, perhaps nothing). Case does not matter. The more exact route wins, segment by segment: literal, then
constrained, then plain, then the rest.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_CONSTRAINTS = {
    "int": r"[+-]?[0-9]{1,10}",
    "long": r"[+-]?[0-9]{1,19}",
    "alpha": r"[a-z]+",
    "bool": r"true|false",
    "guid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)(?::(\w+))?(\??)\}")
_LITERAL, _CONSTRAINED, _PLAIN, _REST = range(4)


@dataclass(frozen=True)
class Route:
    """One function's template and methods; no methods are all methods."""

    function: str
    template: str
    methods: frozenset[str]
    pattern: re.Pattern[str]
    rank: tuple[int, ...]


def route(function: str, template: str, methods: Iterable[str]) -> Route:
    """Compile a template; ValueError says what this host does not know in it."""
    pattern, rank = "", []
    segments = [segment for segment in template.split("/") if segment]
    for place, segment in enumerate(segments):
        expression, kind = _segment(segment, last=place == len(segments) - 1)
        pattern += expression
        rank.append(kind)
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return Route(function, template, frozenset(method.upper() for method in methods), compiled, tuple(rank))


def find(routes: Iterable[Route], method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
    """Give the route that answers, and its parameters; None is 404.

    A method that no route of the path allows is 404 as well, as on the real host.
    `raw_path`: without the query, percent-encoded as it came.
    """
    path = _decoded(raw_path)
    hits = [
        (candidate, match)
        for candidate in routes
        if not candidate.methods or method.upper() in candidate.methods
        if (match := candidate.pattern.fullmatch(path))
    ]
    if not hits:
        return None
    best, match = min(hits, key=lambda hit: hit[0].rank)
    return best, _parameters(match.groupdict())


def _segment(segment: str, *, last: bool) -> tuple[str, int]:
    if "{" not in segment:
        return "/" + re.escape(segment), _LITERAL
    match = _PARAMETER.fullmatch(segment)
    if match is None:
        raise ValueError(f'the route segment "{segment}" is of a kind that this host does not know')
    star, name, constraint, optional = match.groups()
    if (star or optional) and not last:
        raise ValueError(f'the route segment "{segment}" must be the last one')
    if star:
        return f"(?:/(?P<{name}>.*))?", _REST
    if constraint and constraint not in _CONSTRAINTS:
        raise ValueError(f'the route constraint "{constraint}" is not known to this host')
    expression = f"/(?P<{name}>{_CONSTRAINTS[constraint] if constraint else '[^/]+'})"
    return f"(?:{expression})?" if optional else expression, _CONSTRAINED if constraint else _PLAIN


def _decoded(raw_path: str) -> str:
    # An encoded slash belongs to its segment and stays encoded, as in the real host.
    segments = (unquote(segment).replace("/", "%2F") for segment in raw_path.split("/"))
    return "/".join(segments).rstrip("/")


def _parameters(groups: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in groups.items() if value is not None}
