"""The benchmarks run: a smoke test without limits, as machines are noisy (issue 8)."""

import pytest

from bench import cold_start, growth, own_cpu
from bench.customers import contract, entities
from bench.models import DIALECTS, AnswersAtOnce, answer_to, model_of
from bench.tables import BEGIN, END, Table, replaced
from bench.timing import Rounds
from scoring.batch import score
from scoring.deadline import Deadline


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_measured_scores_every_entity_and_finds_none_outside_its_contract(dialect: str) -> None:
    told = score(
        entities(50), model_of(dialect, AnswersAtOnce(answer_to(dialect))), Deadline.after(60)
    ).report
    assert (told.entities, told.scored, told.marked) == (50, 50, 0)
    assert told.outside < 5  # the version has seen nearly all that there is


def test_own_cpu_is_measured_beside_what_stands_beside_it() -> None:
    measured = own_cpu.measure(20, "designer", seconds=0)
    works = ("ours", "json_all", "json_entities", "plain", "predecessor")
    assert min(measured.each_us(work) for work in works) > 0


def test_a_ratio_is_of_one_round_so_that_a_machine_that_slows_down_slows_both() -> None:
    rounds = Rounds({"ours": [2.0, 2.0, 6.0, 6.0, 6.0], "theirs": [1.0, 1.0, 1.0, 3.0, 3.0]})
    assert rounds.ratio("ours", "theirs") == 2.0
    assert rounds.median("ours") / rounds.median("theirs") == 6.0


def test_growth_is_measured() -> None:
    assert len(growth.run(times=(1, 2), seconds=0).rows) == 3


def test_the_import_of_the_app_brings_nothing_that_is_needed_later() -> None:
    assert cold_start.needlessly_imported() == []


def test_the_contract_knows_every_type() -> None:
    assert {column.type for column in contract().columns} == {
        *("integer", "number", "boolean", "date", "datetime", "string")
    }


def test_the_page_keeps_what_people_wrote_around_the_tables() -> None:
    table = Table("1. A title", "About.", ("", "ours"), [("a", "1")], "fast.").markdown()
    page = f"# Before\n\n{BEGIN}\nold\n{END}\n\n# After\n"
    assert replaced(page, table) == f"# Before\n\n{BEGIN}\n\n{table}\n{END}\n\n# After\n"
    assert "| a | 1 |" in table
