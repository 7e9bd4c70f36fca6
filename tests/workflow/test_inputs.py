"""Runs that begin with rows from elsewhere."""

import json

import pyarrow.parquet as pq

from selfalign.data.tables import STEP_OF

ENTRIES = ("functions", "seeds", "concepts", "instructions", "responses", "executed", "dataset")

RESPONSE = (
    "[Reasoning]\nAdd.\n\n[Implementation]\n```python\ndef add_{0}(x):\n    return x + {1}\n```\n\n[Explanation]\nSum of {0}.\n\n"
    "[Tests]\n```python\nassert add_{0}(1) == {0} + 1\n```"
)
NOUNS = ("apples", "bridges", "candles", "doors", "engines", "feathers")


def responses():
    """Two responses to each of six instructions, in the published layout; of the last instruction's none passes."""
    rows = []
    for number, noun in enumerate(NOUNS):
        seed = f'def f{number}(x):\n    """Add {number}."""\n    return x + {number}'
        row = {"prompt": "p", "fingerprint": "f", "seed": seed, "sha1": "", "id": number, "concepts": ["sums"]}
        row["instruction"] = f"Count {noun}: write add_{number}, which adds {number} to what there is in room {number * 7919}."
        rows += [{**row, "response": RESPONSE.format(number, -1 if number == 5 else number) + "\n" * sample + f"# {sample}"} for sample in range(2)]
    return rows


def test_earlier_rules_vanish_from_the_plan(project):
    (project.folder / "rows.jsonl").write_text("{}")
    order = [*STEP_OF]
    for entry in ENTRIES:
        plan = project.plan("--config", f"inputs={{{entry}: rows.jsonl}}")
        before = {STEP_OF[dataset] for dataset in order[: order.index(entry) + 1]} | {"sign_functions", "cluster_functions"}
        assert plan["import_rows"] == 1 and before.isdisjoint(plan), entry
        assert {STEP_OF[dataset] for dataset in order[order.index(entry) + 1 :]} <= plan.keys(), entry
        assert {"train_model", "evaluate_model", "summarize_run", "render_report", "write_notice"} <= plan.keys(), entry


def test_run_that_enters_at_responses(project):
    project.config["shards"] = 1
    project.write_config()
    text = "".join(json.dumps(row) + "\n" for row in responses())
    (project.folder / "mine").mkdir()
    (project.folder / "mine" / "rows.jsonl").write_text(text)
    (project.folder / "mine" / "NOTICE.txt").write_text("Thanks to the authors of the seeds.")
    inputs = ("--config", "inputs={responses: mine}")
    project.snakemake("datasets", *inputs)
    first = project.files("dataset", "dropped/dataset")
    results = project.folder / "results"
    assert "Thanks to the authors" in (results / "NOTICE.txt").read_text()
    rows = pq.read_table(results / "dataset" / "train.parquet").to_pylist()
    assert sorted(row["source_id"] for row in rows) == ["0", "1", "2", "3", "4"], "the sixth failed its tests"
    assert rows[0]["seed"].startswith("def f") and rows[0]["concepts"] == ["sums"]
    assert project.plan("datasets", *inputs) == {}
    project.config["shards"] = 2
    project.write_config()
    project.snakemake("datasets", *inputs)
    assert project.files("dataset", "dropped/dataset") == first, "the same bytes, whatever the number of shards"
    (project.folder / "mine" / "rows.jsonl").write_text(text + text.splitlines()[0] + "\n")
    assert project.plan("datasets", *inputs)["import_rows"] == 1, "a changed input is read again"


def test_bad_input_is_one_line_from_the_job(project):
    (project.folder / "rows.jsonl").write_text('{"content": "def f(x): return x"}\n')
    output = project.snakemake("datasets", "--config", "inputs={instructions: rows.jsonl}", ok=False)
    line = next(line for line in output.splitlines() if line.startswith("import_rows: "))
    assert line.startswith("import_rows: rows.jsonl, line 1: no column 'seed'") and "inputs.columns.seed" in line
    assert "Traceback" not in output


def test_consensus_of_executed_responses(project):
    """Three samples of each instruction, of which the second means something else; one instruction twice in other words."""
    samples = [(number, sample) for number in range(4) for sample in range(3)]
    rows = []
    for number, sample in samples:
        seed = f'def f{number}(x):\n    """Add {number}."""\n    return x + {number}'
        noun = NOUNS[number % 3]
        words = f"Please count all of the {noun} in every room of the old house and add {number % 3} to them before you go home again"
        text = RESPONSE.format(number, number + (1000 if sample == 1 else 0)).replace("== ", "== 1000 + " if sample == 1 else "== ")
        rows.append({"seed": seed, "id": f"{number}-{sample}", "concepts": ["sums"], "instruction": words + "." * (number // 3), "response": text})
        rows[-1]["response"] = text.replace("Sum of", f"Sample {sample}: sum of")
    (project.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    selection = "{policy: consensus, near_dedup: {ngram: 3}}"
    project.snakemake("datasets", "--config", "inputs={executed: rows.jsonl}", f"selection={selection}")
    results = project.folder / "results"
    kept = pq.read_table(results / "dataset" / "train.parquet").to_pylist()
    assert len(kept) == 3, "numbers 0 and 3 have the same instruction"
    assert not any("1000" in row["response"] for row in kept)
    dropped = [row for path in (results / "dropped" / "candidates").glob("*.parquet") for row in pq.read_table(path, partitioning=None).to_pylist()]
    assert {row["reason"] for row in dropped} == {"not_chosen"} and len(dropped) == 8
    [gone] = pq.read_table(results / "dropped" / "dataset" / "train.parquet").to_pylist()
    assert gone["reason"] in ("duplicate_instruction", "near_duplicate") and gone["detail"] in {row["id"] for row in kept}
