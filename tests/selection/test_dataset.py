from collections import Counter

import pyarrow as pa
import pytest

from selfalign.data.files import to_table
from selfalign.dedup.clusters import CLUSTERS
from selfalign.selection.candidates import choose_responses
from selfalign.selection.dataset import explain_empty, find_copies, select_dataset
from selfalign.selection.decontamination import Decontamination

CFG = {"keep_explanation": 1.0, "keep_reasoning": 1.0, "append_tests": 0.0}


@pytest.fixture
def select(passed):
    """The final dataset and the dropped rows of {instruction: response}, and the ids of the candidates by instruction."""

    def run(written, clusters=lambda ids: [], cfg=CFG, seed=1):
        executed, instructions = passed({text: [response] for text, response in written.items()})
        candidates, _ = choose_responses(executed, instructions, Decontamination([], 10), seed)
        ids = dict(zip(candidates["instruction"].to_pylist(), candidates["id"].to_pylist(), strict=True))
        parents = instructions["concepts_id"].to_pylist()
        concepts = [{"id": row, "function_id": "", "seed_id": f"seed-{row}", "draw": 0, "prefix": 0, "concepts": [row, "loops"]} for row in parents]
        seed_of = {"sha1": "", "path": "", "repository": "", "line": 1, "licence": "", "source": "", "imports": [], "judge": "yes", "score": None}
        seeds = [{**seed_of, "id": f"seed-{row}", "content": f"content of {row}"} for row in parents]
        tables = [pa.Table.from_pylist(rows, schema=CLUSTERS) for rows in clusters(ids)]
        concepts, seeds = to_table(concepts, "concepts"), to_table(seeds, "seeds")
        dataset, dropped = select_dataset(candidates, instructions, concepts, seeds, find_copies(candidates), tables, cfg, seed)
        assert dataset.num_rows + dropped.num_rows == candidates.num_rows
        return dataset.to_pylist(), dropped.to_pylist(), ids

    return run


def clustered(members):
    return [{"id": row, "representative": min(members), "cluster_size": len(members)} for row in members]


def test_rows_come_with_their_concepts_and_seed(select, response):
    rows, dropped, _ = select({"Do a.": response("a"), "Do b.": response("b")})
    assert dropped == []
    assert {row["instruction"]: (row["concepts"], row["seed"], row["cluster_size"]) for row in rows} == {
        "Do a.": (["concepts-0", "loops"], "content of concepts-0", 1),
        "Do b.": (["concepts-1", "loops"], "content of concepts-1", 1),
    }


def test_repeated_instructions_responses_and_names_go_and_name_the_smallest_id(select, response):
    rows, dropped, ids = select(
        {
            "Do a.": response("a"),
            "Do  a.\n": response("a2"),
            "Do b.": response("b"),
            "Do c.": response("b"),
            "Do d.": response("d"),
            "Do e.": response("d", body="return 1 + x"),
        }
    )
    reasons = {"duplicate_instruction": ("Do a.", "Do  a.\n"), "duplicate_response": ("Do b.", "Do c."), "duplicate_functions": ("Do d.", "Do e.")}
    assert len(rows) == 3
    for row in dropped:
        pair = sorted(ids[text] for text in reasons[row["reason"]])
        assert [row["detail"], row["id"]] == pair
    assert Counter(row["reason"] for row in dropped) == dict.fromkeys(reasons, 1)
    assert [row["cluster_size"] for row in rows] == [2, 2, 2]


def test_responses_that_define_no_function_are_not_all_the_same(select):
    head = "[Reasoning]\nR\n\n[Implementation]\n```python\n{0} = lambda x: x\n```\n\n[Explanation]\nE\n\n"
    text = head + "[Tests]\n```python\nassert {0}(1) == 1\n```"
    rows, dropped, _ = select({f"Do {name}.": text.format(name) for name in "abc"})
    assert (len(rows), dropped) == (3, [])


def test_near_duplicates_go_pass_by_pass_and_are_counted_where_they_went(select, response):
    written = {f"Do {name}.": response(name) for name in "abcde"}

    def clusters(ids):
        first, second, third, *_ = sorted(ids.values())
        return [clustered([second, third]), clustered([first, second])]

    rows, dropped, ids = select(written, clusters)
    first, second, third, fourth, fifth = sorted(ids.values())
    assert {row["id"]: row["cluster_size"] for row in rows} == {first: 3, fourth: 1, fifth: 1}
    assert {row["id"]: (row["reason"], row["detail"]) for row in dropped} == {third: ("near_duplicate", second), second: ("near_duplicate", first)}


def test_the_form_varies_with_the_probabilities_of_the_config(select, response):
    written = {f"Do {i}.": response(f"f{i}") for i in range(200)}
    plain, _, _ = select(written, cfg={"keep_explanation": 0.0, "keep_reasoning": 0.0, "append_tests": 0.0})
    assert all(row["response"].startswith("```python\ndef ") and row["response"].endswith("```") for row in plain)
    full, _, _ = select(written, cfg={"keep_explanation": 1.0, "keep_reasoning": 1.0, "append_tests": 1.0})
    assert all(
        row["response"].startswith("Think.\n\n```") and row["response"].endswith("It adds.") and "assert f" in row["instruction"] for row in full
    )
    mixed, _, _ = select(written, cfg={"keep_explanation": 0.5, "keep_reasoning": 0.5, "append_tests": 0.5})
    counts = Counter(("Think." in row["response"], "It adds." in row["response"], "assert" in row["instruction"]) for row in mixed)
    assert len(counts) == 8 and min(counts.values()) >= 10  # the three draws are independent
    assert not any("[" in row["response"] or "assert" in row["response"] for row in mixed)


def test_a_rows_form_depends_on_that_row_alone(select, response):
    written = {f"Do {i}.": response(f"f{i}") for i in range(30)}
    cfg = {"keep_explanation": 0.5, "keep_reasoning": 0.5, "append_tests": 0.5}
    rows, _, _ = select(written, cfg=cfg)
    some, _, _ = select(dict(list(written.items())[:10]), cfg=cfg)
    by_id = {row["id"]: row for row in rows}
    assert all(row == by_id[row["id"]] for row in some)
    assert select(written, cfg=cfg, seed=2)[0] != rows


def test_tests_stay_if_the_instruction_asks_for_them(select, response):
    rows, _, _ = select({"Do a and add unit tests.": response("a"), "Do b.": response("b")})
    assert {row["instruction"]: "assert" in row["response"] for row in rows} == {"Do a and add unit tests.": True, "Do b.": False}


def test_an_empty_dataset_is_explained_step_by_step():
    steps = ["execute_responses", "execute_responses", "choose_responses"]
    reasons = ["timeout", "timeout", "sections"]
    names = ("id", "parent_id", "detail")
    dropped = pa.table({**{name: ["x"] * 3 for name in names}, "step": steps, "reason": reasons})
    assert explain_empty({"seeds": 3, "candidates": 0}, dropped) == (
        "the final dataset is empty. Rows left: seeds 3, candidates 0. execute_responses dropped 2 (timeout 2); "
        "choose_responses dropped 1 (sections 1). Each dropped row is in the dropped/ folder"
    )
