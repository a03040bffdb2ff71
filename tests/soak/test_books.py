"""The books find what must not be, or their balance would mean nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.soak.books import Books, Sample
from tests.soak.world import PREFIX, Made, Wrong, check_answer, make_batch

SENT = make_batch("books", 400)


def right_answer() -> list[dict[str, Any]]:
    return [made.entity | added(made) for made in SENT]


def added(made: Made) -> dict[str, Any]:
    if made.fate == "marked":
        return {f"{PREFIX}error": {}}
    return {PREFIX + name: value for name, value in made.scores.items()}


def swap_scores(answer: list[dict[str, Any]]) -> None:
    first, second = (
        next(back for made, back in zip(SENT, answer, strict=True) if made.scores.get("label") == label)
        for label in ("yes", "no")
    )
    key = f"{PREFIX}label"
    first[key], second[key] = second[key], first[key]


def tell_of_two_contracts(answer: list[dict[str, Any]]) -> None:
    for number, back in enumerate(answer):
        if back.get("_deleted") is not True:
            back[f"{PREFIX}contract"] = f"{number % 2}"


SPOILED: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "one lost": lambda answer: answer.pop(),
    "one twice": lambda answer: answer.insert(0, answer[0]),
    "two in each other's place": lambda answer: answer.reverse(),
    "scores swapped": swap_scores,
    "a property changed": lambda answer: answer[0].update({"soak:City": "Atlantis"}),
    "a property lost": lambda answer: answer[0].pop("soak:City"),
    "a score lost": lambda answer: answer[0].pop(f"{PREFIX}risk"),
    "two contracts": tell_of_two_contracts,
}


def test_a_right_answer_is_right() -> None:
    assert {made.fate for made in SENT} > {"scored"}
    check_answer(SENT, right_answer())


@pytest.mark.parametrize("spoiled", SPOILED)
def test_a_wrong_answer_is_found(spoiled: str) -> None:
    answer = right_answer()
    SPOILED[spoiled](answer)
    with pytest.raises(Wrong):
        check_answer(SENT, answer)


def balanced() -> Books:
    books = Books()
    books.add(books.entities, sent=10, scored=7, marked=2, passed=1)
    books.add(books.versions, published=1)
    books.samples = [Sample(1, float(second), 100.0, 20, 40) for second in range(200)]
    return books


def grow(books: Books, **by: float) -> None:
    books.samples = [
        s._replace(**{name: getattr(s, name) + step * s.at for name, step in by.items()})
        for s in books.samples
    ]


UNBALANCED: dict[str, Callable[[Books], object]] = {
    "1 entities were sent and never accounted for": lambda books: books.add(books.entities, sent=1),
    "something else": lambda books: books.blame("something else"),
    "not one version was published": lambda books: books.versions.clear(),
    "memory grew": lambda books: grow(books, megabytes=1.0),
    "threads grew": lambda books: grow(books, threads=1),
    "descriptors grew": lambda books: grow(books, descriptors=2),
}


def test_what_adds_up_balances() -> None:
    assert balanced().close() == []


@pytest.mark.parametrize("found", UNBALANCED)
def test_what_does_not_add_up_is_told(found: str) -> None:
    books = balanced()
    UNBALANCED[found](books)
    assert any(found in entry for entry in books.close())
