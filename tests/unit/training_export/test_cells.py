"""Cells read as words are the texts that they are."""

import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training_export import cells as cells_
from training_export.cells import LONG, TOGETHER, Buffer, Cells, by_column
from training_export.column_counts import Counts, Distinct

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
TEXTS = st.lists(st.one_of(TEXT, TEXT.map(lambda text: text * 12)), min_size=1, max_size=20)


@given(TEXTS)
@example(["a" * LONG + "Å"])
def test_cells_are_the_texts_they_were_made_of(texts: list[str]) -> None:
    cells = Cells.of(texts)
    assert cells.texts() == texts
    assert cells.characters().tolist() == [len(text) for text in texts]
    assert (cells.shortest, cells.longest) == (
        min(len(t.encode()) for t in texts),
        max(len(t.encode()) for t in texts),
    )
    for number in range(4):
        words = [text.encode()[8 * number : 8 * number + 8].ljust(8, b"\0") for text in texts]
        assert cells.word(number).tolist() == [int.from_bytes(word, "little") for word in words]


def read(cells: Cells) -> tuple[list[str], list[int], list[int], list[list[int]]]:
    words = [cells.word(number).tolist() for number in range(LONG // 8)]
    return cells.texts(), cells.hashes.tolist(), cells.characters().tolist(), words


@given(TEXTS, st.data(), st.booleans(), st.booleans())
def test_some_cells_are_read_alike_whatever_was_read_of_all(
    texts: list[str], data: st.DataObject, near: bool, hashes: bool
) -> None:
    cells = Cells.of(texts)
    if near:
        _ = cells.near
    if hashes:
        _ = cells.hashes
    some = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1))
    first = data.draw(st.integers(0, len(texts) - 1))
    assert read(cells.some(np.array(some))) == read(Cells.of([texts[at] for at in some]))
    assert read(cells.some(slice(first, None))) == read(Cells.of(texts[first:]))


@given(TEXTS, st.integers(1, 20), st.sampled_from([1, 7, TOGETHER]))
def test_columns_read_together_are_each_its_own_cells(texts: list[str], columns: int, together: int) -> None:
    cells = Cells.of(texts * columns)  # column by column, each begun elsewhere in the texts
    rows = np.arange(len(texts))
    at = np.array([(rows + column) % len(texts) + column * len(texts) for column in range(columns)])
    with mock.patch.object(cells_, "TOGETHER", together):
        split = list(by_column(Buffer(cells.buffer.data), cells.starts[at], cells.lengths[at]))
    shifted = [[*texts[column % len(texts) :], *texts[: column % len(texts)]] for column in range(columns)]
    assert list(map(read, split)) == [read(Cells.of(column)) for column in shifted]


@given(TEXTS, TEXTS)
@example(["a"], ["a", "b" * (LONG + 1)])
def test_a_hash_is_the_texts_own_whatever_stands_beside_it(texts: list[str], others: list[str]) -> None:
    together = Cells.of([*texts, *others]).hashes.tolist()
    assert together == [*Cells.of(texts).hashes.tolist(), *Cells.of(others).hashes.tolist()]
    assert len(set(together)) == len({*texts, *others})


@pytest.mark.parametrize("size", [1, 8, 9, 16, 17, LONG, LONG + 1])
def test_texts_that_differ_in_one_byte_have_other_hashes(size: int) -> None:
    texts = ["x" * at + "y" + "x" * (size - at - 1) for at in range(size)]
    assert len(set(Cells.of([*texts, "x" * size, "x" * (size - 1)]).hashes.tolist())) == size + 2


@given(st.text("aÅ☃", max_size=LONG // 3), TEXTS)
def test_what_all_begin_with_is_found(start: str, texts: list[str]) -> None:
    texts = [start + text for text in texts]
    shared = Cells.of(texts).shared_start()
    assert shared.startswith(start)
    assert all(text.startswith(shared) for text in texts)
    longer = {text[: len(shared) + 1] for text in texts}
    assert len(longer) > 1 or shared in texts or len(shared.encode()) > LONG - 4


@given(st.lists(st.lists(TEXT, max_size=30), max_size=6))
def test_counts_are_those_of_the_cells(batches: list[list[str]]) -> None:
    counts = Counts(1000)
    for batch in batches * 2:
        assert not batch or counts.add(Cells.of(batch))
    whole = [text for batch in batches for text in batch]
    assert dict(counts.total()) == {text: 2 * whole.count(text) for text in whole}


def test_cells_whose_hashes_are_all_alike_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cells, "hashes", property(lambda cells: np.zeros(len(cells), np.uint64)))
    counts = Counts(10)
    texts = ["one word", "one word and more", "one word and none", "one word and more than that"]
    for text in [*texts, *texts, texts[0]]:
        assert counts.add(Cells.of([text]))
    assert dict(counts.total()) == {texts[0]: 3, texts[1]: 2, texts[2]: 2, texts[3]: 2}


def test_too_many_different_cells_are_not_counted_at_all() -> None:
    counts = Counts(3)
    assert counts.add(Cells.of(["a", "b", "a"]))
    assert not counts.add(Cells.of(["a", "c", "d"]))
    assert dict(counts.total()) == {"a": 2, "b": 1}
    assert counts.add(Cells.of(["a", "c"]))
    assert dict(counts.total()) == {"a": 3, "b": 1, "c": 1}


def test_counted_cells_stand_in_the_same_order_in_every_process() -> None:
    # Sums over them are then the same to the last bit: a set's order is each process's own.
    count = (
        "from training_export.cells import Cells; from training_export.column_counts import Counts; "
        "counts = Counts(100); counts.add(Cells.of([f'{n}' for n in range(50)])); "
        "counts.add(Cells.of([f'{n} and a second word' for n in range(50)])); print(list(counts.total()))"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", count],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(orders) == 1


@pytest.mark.parametrize("count", [1, 99, 100, 101, 5000])
def test_as_many_as_are_kept_are_told_exactly(count: int) -> None:
    distinct = Distinct(100)
    for _ in range(2):
        for at in range(0, count, 70):
            distinct.add(Cells.of([f"v{n}" for n in range(at, min(at + 70, count))]).hashes)
    told, error = distinct.estimate()
    assert (error == 0) == (count <= 100)
    assert told == count if count <= 100 else abs(told - count) < 5 * error * count
