import json

import pyarrow.parquet as pq

from selfalign.data.config import defaults
from selfalign.data.ids import row_id
from selfalign.generation.draws import draw_prompts
from selfalign.generation.fewshot import Example, FewShot, Judged
from selfalign.report.distributions import cluster_facts, concept_counts, length_counts, origin_counts, property_counts
from selfalign.report.examples import collect_examples, files_of, first_of_each_reason, first_rows

ONE, TWO = f"{1:016x}", f"{2:016x}"
FEWSHOT = FewShot(
    system={step: f"Do {step}." for step in ("judge", "concepts", "instructions", "responses")},
    examples=tuple(Example(f"def f{i}(): ...", "c", "Python", ("loops",), "easy", f"Write f{i}.", "", "[Tests]") for i in range(2)),
    judge=tuple(Judged(f"def j{i}(): ...", "Yes") for i in range(2)),
)


def collect(run, count=10, prompts=None, cfg=None):
    return collect_examples(run.kept, run.dropped, prompts or {}, cfg or run.cfg, count)


def test_kept_rows_come_with_the_texts_they_are_about(run):
    ((kept,), _) = collect(run)["instructions"]
    assert [(title, text) for title, _, text in kept.listings] == [("Instruction", "Double <a> number & return it."), ("Concepts", "lists, sums")]
    assert kept.facts["difficulty"] == ONE


def test_dropped_rows_come_with_what_they_were_about(run):
    examples = collect(run)
    ((judged,), (executed,), (extracted,)) = (examples[dataset][1] for dataset in ("seeds", "executed", "extracted"))
    assert judged.listings[0][2].startswith("def double")
    assert executed.reason == "assertion_failed" and executed.detail == "assert double(2) == 5"
    assert [title for title, _, _ in executed.listings] == ["Response", "Instruction"]
    assert extracted.listings == []


def test_what_the_run_did_not_make_is_left_out(run):
    for dataset in ("seeds", "concepts", "dataset"):
        for folder in (dataset, f"dropped/{dataset}"):
            for path in (run.folder / folder).iterdir():
                path.unlink()
    examples = collect(run)
    assert "seeds" not in examples and "dataset" not in examples
    assert examples["instructions"][0][0].listings[0][0] == "Instruction"
    assert property_counts(run.kept)["difficulty"] == {ONE: {"instructions": 1, "responses": 1, "executed": 1}}
    assert concept_counts(run.kept, 5) == {} and origin_counts(run.kept) == []


def test_sample_does_not_depend_on_the_number_of_shards(run):
    run.put("extracted", range(1, 30))
    whole = first_rows([run.folder / "extracted" / "0.parquet"], 4)
    for shard in (0, 1, 2):
        run.put("extracted", range(1 + shard, 30, 3), shard=str(shard))
    assert first_rows(sorted((run.folder / "extracted").iterdir()), 4) == whole
    assert [row["id"] for row in whole] == [f"{number:016x}" for number in (1, 2, 3, 4)]


def test_every_reason_is_among_the_dropped_rows_before_one_comes_twice(run):
    many = [(f"{number:016x}", "", "no_return", "") for number in range(50)]
    run.put("functions", [1], [*many, ("f" * 16, "", "type_error", "x"), ("e" * 16, "", "too_long", "")])
    rows = first_of_each_reason([run.folder / "dropped" / "functions" / "0.parquet"], 5)
    assert [row["reason"] for row in rows] == ["no_return", "too_long", "type_error", "no_return", "no_return"]


def test_prompt_of_a_row_is_the_one_that_the_step_asks_with(run):
    cfg = {"seed": 1, **{step: {**defaults(step), "examples": 1, "prefixes": 2} for step in FEWSHOT.system}}
    cfg |= {name: ["only"] for name in ("categories", "difficulties")}
    prompts = {step: json.loads(json.dumps(draw_prompts(FEWSHOT, step, cfg[step], 1))) for step in FEWSHOT.system}
    dropped = row_id("write_responses", ONE, 3)
    run.put("responses", [1, 2], [(dropped, ONE, "length_stop", "")])
    examples = collect(run, prompts=prompts, cfg=cfg)
    ((judged,), _) = examples["seeds"]
    assert judged.prompt.startswith("Do judge.") and judged.prompt.endswith("### Example 2\n[Code]\ndef double(x):\n    return 2 * x\n\n[Verdict]\n")
    (_, (cut,)) = examples["responses"]
    assert cut.prompt.startswith("Do responses.") and cut.prompt.endswith("[Instruction]\nDouble <a> number & return it.\n\n[Response]\n")


def test_counts_of_concepts_properties_and_origins(run):
    assert concept_counts(run.kept, 1) == {"lists": {2: 2}, "distinct": 2, "total": 4, "top": [("lists", 2)]}
    assert property_counts(run.kept)["category"] == {ONE: {"instructions": 1, "responses": 1, "executed": 1, "dataset": 1}}
    assert origin_counts(run.kept) == [{"source": ONE, "licence": ONE, "seeds": 1, "rows": 1}]


def test_lengths_are_counted_in_words(run):
    lengths = length_counts(run.kept)
    assert list(lengths) == ["seed", "instruction", "response"]
    for name, dataset, column in (("seed", "seeds", "content"), ("instruction", "dataset", "instruction"), ("response", "dataset", "response")):
        texts = [text for path in files_of(run.kept, dataset) for text in pq.read_table(path)[column].to_pylist()]
        counted = {low: sum(low <= len(text.split()) < 2 * low for text in texts) for low in lengths[name]}
        assert lengths[name] == counted and sum(counted.values()) == len(texts) > 0


def test_clusters_with_their_largest_side_by_side(run):
    pq.write_table(run.clusters_table([(ONE, ONE, 2), (TWO, ONE, 2)]), run.cluster_file("functions"))
    facts = cluster_facts([run.cluster_file("functions"), run.cluster_file("code")], run.kept)
    assert list(facts) == ["functions"]
    assert (facts["functions"]["clusters"], facts["functions"]["rows"], facts["functions"]["sizes"]) == (1, 2, {2: 1})
    (largest,) = facts["functions"]["largest"]
    assert (largest["size"], largest["id"], largest["member"]) == (2, ONE, TWO)
