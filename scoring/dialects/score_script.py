"""`score-script`: an entry script of one's own, in the shape that most of them read (facts/azureml.md §3).

Request, rows of values in the order of the columns:

    {"data": [[30, "Oslo"], [41, null]]}            `input_name` is the key, `data` by default
    {"Age": [30, 41], "City": ["Oslo", null]}       with `input_name = "*"`: every column is an input of its
                                                    own, a list (scripts decorated by inference-schema)

`parameters` stand beside them.

Answer:  [1, 0], [[0.03, 0.97], …], [{"label": "yes"}, …], {"result": […]} or columns of lists
         {"Category": ["Virginica", …]}; plain, or as a JSON text (`json.dumps` in the script)

Null is JSON's null. Rows of values are positional: the script trusts our order, which is the contract's or
that of `features`.
"""

from collections.abc import Mapping, Sequence

from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.bodies import encoded
from scoring.dialects.protocol import Maker, Row, SentColumn

# As settings.py has it, which no dialect imports: they are pure.
EVERY_COLUMN = "*"


class ScoreScript(ReadsAllShapes):
    """A scoring script that reads rows of values, or columns of lists."""

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write rows as lists, or columns as lists."""
        name = self.options.input_name or "data"
        data: Mapping[str, object] = {name: rows}
        if name == EVERY_COLUMN:
            data = {column.name: [row[at] for row in rows] for at, column in enumerate(columns)}
        return encoded({**self.options.parameters, **data})


DIALECT: Maker = ScoreScript
