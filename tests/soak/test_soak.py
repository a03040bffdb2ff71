"""A short soak on every run of the tests; `make soak` runs it for as long as you like."""

import pytest

from tests.soak.books import told
from tests.soak.run import soak

SECONDS, SEED = 10.0, 20261124


@pytest.mark.statement("P1", "P7", "P8", "P11")
@pytest.mark.fault(28, 45)
def test_the_books_balance_after_a_soak() -> None:
    books = soak(SECONDS, SEED)
    assert books.close() == [], told(books, seed=SEED, seconds=SECONDS)
    assert books.entities["sent"] > 1000
    assert sum(books.faults.values()) > 5
