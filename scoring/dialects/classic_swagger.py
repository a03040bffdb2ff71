"""`classic-swagger`: a web service of Azure ML Studio (classic), `format=swagger` (facts/azureml.md §1).

Request: {"Inputs": {"input1": [{"Age": "30", "City": "Oslo"}, {"Age": "41", "City": null}]},
          "GlobalParameters": {}}

Answer:  {"Results": {"output1": [{"Scored Labels": "yes", "Scored Probabilities": "0.967"}, …]}}

Cells go out exactly as in the table form (classic.py). They come back as strings without types, and a text
is left a text, as nobody can tell the number 7 from the label "7"; but for the columns that Studio itself
defines as numbers: Scored Probabilities (also one per class), Scored Label Mean, Scored Label Standard
Deviation. For anything else typed, use the table form with details=true.
"""

from collections.abc import Sequence

from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.bodies import encoded, records
from scoring.dialects.classic import cells, global_parameters
from scoring.dialects.protocol import AnswerUnusable, Maker, Results, Row, SentColumn
from scoring.dialects.table import read_column

NUMBERS = ("Scored Probabilities", "Scored Label Mean", "Scored Label Standard Deviation")


class ClassicSwagger(ReadsAllShapes):
    """A classic web service, rows as objects."""

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write rows as objects of strings."""
        return encoded(
            {
                "Inputs": {self.options.input_name or "input1": records(columns, cells(columns, rows))},
                "GlobalParameters": global_parameters(self.options),
            }
        )

    def results(self, answer: object, row_count: int) -> Results:
        """Read objects of strings; Studio's own number columns become numbers."""
        results = super().results(answer, row_count)
        numbers = [name.startswith(NUMBERS) for name in results.names]
        if not results.rows or not any(numbers):
            return results
        columns = [
            _numbers(column) if is_number else column
            for is_number, column in zip(numbers, zip(*results.rows, strict=True), strict=True)
        ]
        return results._replace(rows=list(zip(*columns, strict=True)))


DIALECT: Maker = ClassicSwagger


def _numbers(cells: Sequence[object]) -> Sequence[object]:
    try:
        return read_column(cells, "Double")
    except ValueError:
        raise AnswerUnusable("a column of scored numbers holds what is no number") from None
