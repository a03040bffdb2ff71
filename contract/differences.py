"""How one version's columns differ from another's, in words a person can judge by. Pure."""

from collections.abc import Iterator, Sequence

from contract.documents import Manifest
from contract.facts import ColumnFacts

MOST_NAMED = 5


def differences(old: Manifest, new: Manifest) -> tuple[str, ...]:
    """Say how `new` differs from `old`; nothing where rows and columns are the same."""
    return tuple(_differences(old, new))


def column_differences(old: ColumnFacts, new: ColumnFacts) -> Iterator[str]:
    """Say how one column differs from an earlier version's of the same name."""
    name = new.name
    if old.type != new.type:
        yield f"{name} retyped {old.type} → {new.type}"
        return
    if new.empties and not old.empties:
        yield f"{name} now has empties ({new.empties})"
    elif old.empties and not new.empties:
        yield f"{name} no longer has empties"
    if old.spelling != new.spelling:
        yield f"{name} is now written {new.spelling or 'otherwise'} (before: {old.spelling or 'otherwise'})"
    yield from _categories(old, new)
    yield from _range(old, new)


def _differences(old: Manifest, new: Manifest) -> Iterator[str]:
    if old.rows != new.rows:
        change = f" ({(new.rows - old.rows) / old.rows:+.1%})" if old.rows else ""
        yield f"rows {old.rows} → {new.rows}{change}"
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    added = [name for name in after if name not in before]
    gone = [name for name in before if name not in after]
    if added:
        yield f"new columns: {_listed(added)}"
    if gone:
        yield f"columns gone: {_listed(gone)}"
    if list(before) == list(after) and _same_rows(old, new):
        yield "the same rows, written or ordered otherwise"
    shared = [name for name in before if name in after]
    if shared != [name for name in after if name in before]:
        yield "columns in another order"
    if old.label != new.label:
        yield f"label {old.label or '(none)'} → {new.label or '(none)'}"
    for name in shared:
        yield from column_differences(before[name], after[name])


def _same_rows(old: Manifest, new: Manifest) -> bool:
    """Say whether other bytes hold the same cells; the digest knows no names, and no row without any text."""
    same_cells = bool(old.lines_digest) and old.lines_digest == new.lines_digest
    same_size = (old.rows, old.bytes) == (new.rows, new.bytes)
    return same_cells and same_size and old.sha256 != new.sha256


def _categories(old: ColumnFacts, new: ColumnFacts) -> Iterator[str]:
    if old.categories is None or new.categories is None:
        if (old.categories is None) != (new.categories is None):
            yield f"{new.name} is {'now' if new.categories is not None else 'no longer'} categorical"
        return
    before = [category.value for category in old.categories]
    after = [category.value for category in new.categories]
    added = [value for value in after if value not in before]
    gone = [value for value in before if value not in after]
    if added:
        yield f"{len(added)} new {_plural('category', added)} in {new.name}: {_listed(added)}"
    if gone:
        yield f"{len(gone)} {_plural('category', gone)} gone from {new.name}: {_listed(gone)}"


def _range(old: ColumnFacts, new: ColumnFacts) -> Iterator[str]:
    if old.minimum is None or new.minimum is None or old.maximum is None or new.maximum is None:
        return
    if (old.minimum, old.maximum) != (new.minimum, new.maximum):
        yield f"{new.name} ranges {new.minimum} to {new.maximum} (before: {old.minimum} to {old.maximum})"


def _plural(word: str, values: Sequence[str]) -> str:
    return word if len(values) == 1 else f"{word[:-1]}ies"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else shown
