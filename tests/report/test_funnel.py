import pytest

from selfalign.data.errors import InputError
from selfalign.data.tables import REASONS
from selfalign.report.funnel import LostRowsError, count_steps


def counts(run, dataset):
    return next(step for step in count_steps(run.kept, run.dropped, run.cfg) if step["dataset"] == dataset)


def test_rows_asked_are_rows_in_times_draws(run):
    step = counts(run, "responses")
    assert (step["rows_in"], step["draws"], step["asked"], step["kept"], step["dropped"]) == (1, 2, 2, 2, 0)


def test_every_documented_reason_is_counted_zeros_too(run):
    step = counts(run, "executed")
    assert list(step["reasons"]) == list(REASONS["execute_responses"])
    assert step["reasons"]["assertion_failed"] == 1 and step["reasons"]["timeout"] == 0


def test_first_step_is_asked_for_what_it_found(run):
    step = counts(run, "extracted")
    assert (step["asked"], step["kept"], step["dropped"]) == (3, 2, 1)


def test_shards_add_up(run):
    run.put("extracted", [3], [("c", "", "syntax_error", "")], shard="1")
    run.put("functions", [], [("0000000000000003", "", "no_return", "")], shard="1")
    step = counts(run, "functions")
    assert (step["rows_in"], step["kept"], step["dropped"], step["reasons"]["no_return"]) == (3, 2, 1, 1)


def test_lost_row_is_an_error_that_names_the_step(run):
    run.put("responses", [1])
    with pytest.raises(LostRowsError, match="write_responses: asked for 2 rows, kept 1 \\+ dropped 0: 1 lost"):
        count_steps(run.kept, run.dropped, run.cfg)


def test_row_too_many_is_an_error_too(run):
    run.put("functions", [1, 2, 3])
    with pytest.raises(LostRowsError, match="filter_functions: .* 1 too many"):
        count_steps(run.kept, run.dropped, run.cfg)


def test_truncated_file_is_named(run):
    path = run.folder / "seeds" / "0.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="seeds/0.parquet"):
        count_steps(run.kept, run.dropped, run.cfg)
