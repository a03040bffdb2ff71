"""Bicep files read by a grammar: what they declare, and what they use.

No compiler can be had here: types, API versions and the platform's own rules stay unchecked. What a file says
about itself and its modules can be checked all the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))


@dataclass(frozen=True)
class Declared:
    """A declaration: kind (parameter, variable, resource, module, output), name, text, decorators' text.

    `type` is what a resource or module declares: `Microsoft.Web/sites@2024-04-01`, `app/storage.bicep`.
    """

    kind: str
    name: str
    text: str
    node: Node
    decorators: str = ""
    type: str = ""

    @property
    def existing(self) -> bool:
        """Whether the resource is only referred to."""
        return self.text.partition("{")[0].rstrip("= \n").endswith("existing")

    @property
    def default(self) -> bool:
        """Whether the parameter may be left out."""
        return any(child.type == "=" for child in self.node.children)


class Bicep:
    """One file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._root = _PARSER.parse(text.encode()).root_node

    @property
    def broken(self) -> bool:
        """Whether the grammar does not take it."""
        return self._root.has_error

    @cached_property
    def declared(self) -> list[Declared]:
        """Every declaration, nested resources included."""
        return list(self._declarations())

    def of(self, kind: str) -> dict[str, Declared]:
        """The declarations of a kind, by name."""
        return {each.name: each for each in self.declared if each.kind == kind}

    @cached_property
    def names_used(self) -> list[str]:
        """Every identifier, as often as it stands there, declarations included."""
        return [_text(node) for node in walk(self._root) if node.type == "identifier"]

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Every comment with its line, counted from 0."""
        nodes = (node for node in walk(self._root) if node.type == "comment")
        return [(node.start_point[0], _text(node)) for node in nodes]

    def outputs_used(self) -> set[tuple[str, str]]:
        """What is taken of modules: their symbol, and the output's name."""
        texts = (_text(node).split(".") for node in walk(self._root) if node.type == "member_expression")
        return {(parts[0], parts[2]) for parts in texts if len(parts) == 3 and parts[1] == "outputs"}

    def _declarations(self) -> Iterator[Declared]:
        for node in walk(self._root):
            kind = node.type.removesuffix("_declaration")
            if kind == node.type:
                continue
            before = node.prev_sibling
            decorators = _text(before) if before and before.type == "decorators" else ""
            name = next(child for child in node.children if child.type == "identifier")
            strings = [child for child in node.children if child.type == "string"]
            type_ = _text(strings[0]).strip("'") if kind in ("resource", "module") else ""
            yield Declared(kind, _text(name), _text(node), node, decorators, type_)


def properties(declared: Declared) -> dict[str, str]:
    """Every property of a declaration as dotted path → its value's text; nested resources left out."""
    body = next((node for node in walk(declared.node) if node.type == "object"), None)
    return dict(_properties(body, "")) if body else {}


def _properties(node: Node, path: str) -> Iterator[tuple[str, str]]:
    for child in node.children:
        if child.type != "object_property" or len(child.children) < 3:
            continue  # a nested resource is an object_property to the grammar
        key, value = child.children[0], child.children[-1]
        name = path + _text(key).strip("'")
        yield name, _text(value)
        if value.type == "object":
            yield from _properties(value, f"{name}.")


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
