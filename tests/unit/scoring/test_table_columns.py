"""Classic's columns read at once: always what their cells give one by one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.columns import SLICE
from scoring.dialects import AnswerUnusable, table

CELLS = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["", "NaN", "null", "True", "false", "1", "007", "+1", "-0", "1.0", "1e400", "1,2", " 1", "x"]
    ),
    st.sampled_from([1, 1.5, True, [1]]),
)


def read(cells: list[object], kind: str) -> str:
    try:
        return repr(list(table.read_column(cells, kind)))
    except ValueError:
        return "no such cells"


@pytest.mark.statement("azureml-23")
@given(
    st.lists(CELLS, min_size=1, max_size=5)
    | st.lists(st.integers().map(str) | st.floats(allow_nan=False).map(repr), min_size=1, max_size=5),
    st.sampled_from(["Double", "Int32", "Boolean", "String"]),
)
@example(["1", "-0"], "Int32")
@example(["1,2", "3"], "Double")
@example(["-0", "5e-324", "0.1"], "Double")
def test_a_column_at_once_gives_what_its_cells_give_one_by_one(cells: list[object], kind: str) -> None:
    at_once = read(cells, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_AT_ONCE", dict.fromkeys(table._AT_ONCE, lambda _: None))
        assert at_once == read(cells, kind)


def test_a_table_of_many_slices_keeps_its_order_and_every_cell_is_judged() -> None:
    count = 2 * SLICE + 3
    rows = [[str(number), f"of {number}"] for number in range(count)]
    value = {"ColumnNames": ["n", "t"], "ColumnTypes": ["Int32", "String"], "Values": rows}
    assert table.read_table({"value": value}).rows == [(number, f"of {number}") for number in range(count)]
    rows[-1][0] = "x"
    with pytest.raises(AnswerUnusable, match="column n of the table is declared Int32"):
        table.read_table({"value": value})
