"""What the cells of a column are worth, many at once. Pure.

The rules are contract/values.py's. Here whole columns of their usual forms are read as words, a few
operations for all cells where one call a cell would cost a hundred times as much; whatever is of another form
goes to the rules, or to a C parser of the same grammar. tests/unit/training_export proves that all agree.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from contract.facts import ColumnType
from training_export.cells import Cells
from training_export.column_numbers import integers, numbers
from training_export.column_times import days, moments

type Values = NDArray[np.int64] | NDArray[np.float64]

VALUES: Mapping[ColumnType, Callable[[Cells], Values | None]] = {
    "integer": integers,
    "number": numbers,
    "date": days,
    "datetime": moments,
}
"""How non-empty cells of a type are read at once, narrowest type first."""
