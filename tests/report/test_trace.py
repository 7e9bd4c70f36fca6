"""The history of rows of a made-up run in two shards, with real ids and few-shot draws."""

import json

import pyarrow as pa
import pytest

from selfalign.cli import main
from selfalign.data.errors import InputError
from selfalign.data.files import to_dropped, to_table, write_dropped, write_shard, write_table
from selfalign.data.ids import content_id, row_id, shard_of
from selfalign.data.job import write_json
from selfalign.data.tables import REASONS, STEP_OF
from selfalign.dedup.clusters import CLUSTERS
from selfalign.generation.concepts import ask_for_concepts
from selfalign.generation.draws import draw_prompts
from selfalign.generation.fewshot import Example, FewShot, Judged
from selfalign.generation.instructions import ask_for_instructions
from selfalign.generation.judge import ask_for_verdicts
from selfalign.generation.responses import ask_for_responses
from selfalign.report.trace import trace

SHARDS = 2
PART = {"examples": 2, "prefixes": 3, "draws": 1, "temperature": 0.5, "max_new_tokens": 9}
CFG = {"seed": 1, "judge": PART, "concepts": PART, "instructions": PART, "responses": {**PART, "draws": 4}}
CFG |= {"categories": ["functions"], "difficulties": ["easy", "hard"]}


def functions():
    rows = []
    for number in range(6):
        content = f"def f{number}(x):\n    return x + {number}"
        place = {"path": "lib/a.py", "repository": "us/it", "line": 10 + number, "licence": "MIT", "source": "mine"}
        rows.append({"id": content_id(content), "content": content, "sha1": "s", "imports": ["import re"], **place})
    return sorted(rows, key=lambda row: row["id"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder, rows by dataset, and prompts by id. Sample 0 of each instruction fails, 1 is not parsed, 2 and 3 pass, 3 is chosen; of the final
    rows the second stands for the first, and the third for the second."""
    folder = tmp_path_factory.mktemp("run")
    example = Example("def g(): pass", "c", "Python", ("sums",), "easy", "Add.", "", "[Tests] none")
    fewshot = FewShot(dict.fromkeys(("judge", "concepts", "instructions", "responses"), "Answer."), (example,) * 3, (Judged("x", "Yes"),) * 2)
    prompts = {step: draw_prompts(fewshot, step, CFG[step], 1) for step in ("judge", "concepts", "instructions", "responses")}
    for step, content in prompts.items():
        write_json(content, folder / "prompts" / f"{step}.json")
    rows = {"extracted": functions(), "functions": functions()[:-1]}
    dropped = []

    def drop(dataset, row, parent, reason, detail=""):
        dropped.append((dataset, {"id": row, "parent_id": parent, "step": STEP_OF[dataset], "reason": reason, "detail": detail}))

    lost = functions()[-1]
    drop("functions", lost["id"], lost["id"], "near_duplicate", functions()[0]["id"])
    drop("extracted", functions()[0]["id"], "", "duplicate", "mine b.py:3 is a copy of mine lib/a.py:10")
    drop("extracted", row_id("file", "mine/c.py", 0), "", "not_utf8", "c.py: byte 3")
    asked = {"judge": ask_for_verdicts(rows["functions"], prompts["judge"], CFG)}
    rows["seeds"] = [{**row.parent, "judge": "yes", "score": 1.25} for row in asked["judge"]]
    asked["concepts"] = ask_for_concepts(rows["seeds"], prompts["concepts"], CFG)
    shared = lambda row: {"id": row.id, "function_id": row.parent.get("function_id", row.parent["id"]), "prefix": row.prefix}  # noqa: E731
    rows["concepts"] = [{**shared(row), "seed_id": row.parent["id"], "draw": 0, "concepts": ["sums", "loops"]} for row in asked["concepts"]]
    asked["instructions"] = ask_for_instructions(rows["concepts"], prompts["instructions"], CFG)
    rows["instructions"] = []
    for number, row in enumerate(sorted(asked["instructions"], key=lambda row: row.id)):
        if number == 4:
            drop("instructions", row.id, row.parent["id"], "length_stop", "9 tokens")
            continue
        difficulty = "easy" if "difficulty: easy" in row.request.prompt else "hard"
        properties = {"category": "functions", "language": "Python", "difficulty": difficulty, "instruction": f"Task {number}"}
        rows["instructions"].append({**shared(row), "concepts_id": row.parent["id"], "draw": 0, **properties})
    asked["responses"] = ask_for_responses(rows["instructions"], prompts["responses"], CFG)
    rows |= {"responses": [], "executed": [], "candidates": [], "dataset": []}
    for row in asked["responses"]:
        parent = row.parent["id"]
        own = {"id": row.id, "function_id": row.parent["function_id"], "instruction_id": parent}
        text = {"response": f"Answer {row.draw}"}
        if row.draw == 1:
            drop("responses", row.id, parent, "empty")
            continue
        rows["responses"].append({**own, **text, "sample": row.draw, "prefix": row.prefix, "finish_reason": "stop"})
        if row.draw == 0:
            drop("executed", row.id, parent, "assertion_failed", "tests line 1")
            continue
        rows["executed"].append({**own, **text, "sample": row.draw, "verdict": "passed", "detail": ""})
        if row.draw == 2:
            drop("candidates", row.id, parent, "not_chosen", row_id("write_responses", parent, 3))
        else:
            rows["candidates"].append({**own, **text, "instruction": row.parent["instruction"]})
    final = sorted(rows["candidates"], key=lambda row: row["id"])
    drop("dataset", final[0]["id"], final[0]["instruction_id"], "duplicate_response", final[1]["id"])
    drop("dataset", final[1]["id"], final[1]["instruction_id"], "near_duplicate", final[2]["id"])
    for row in final[2:]:
        joined = {"concepts": ["sums"], "seed": "s", "sha1": "s", "cluster_size": 3 if row is final[2] else 1}
        rows["dataset"].append({**row, "response": "Answer", **joined})
    for dataset in STEP_OF:
        own = [row for name, row in dropped if name == dataset]
        if dataset == "dataset":
            write_shard(to_table(rows[dataset], dataset), folder / dataset / "train.parquet", dataset)
            write_dropped(to_dropped(own), folder / "dropped" / dataset / "train.parquet")
            continue
        functions_of = {row["id"]: row.get("function_id", row["id"]) for name in rows for row in rows[name]}
        for shard in range(SHARDS):
            here = [row for row in rows[dataset] if shard_of(row.get("function_id", row["id"]), SHARDS) == shard]
            gone = [row for row in own if shard_of(functions_of.get(row["parent_id"], row["id"]), SHARDS) == shard]
            write_shard(to_table(here, dataset), folder / dataset / f"{shard}.parquet", dataset)
            write_dropped(to_dropped(gone), folder / "dropped" / dataset / f"{shard}.parquet")
    clusters = [{"id": row["id"], "representative": functions()[0]["id"], "cluster_size": 2} for row in (functions()[0], lost)]
    write_table(to_clusters(clusters), folder / "dedup" / "functions" / "clusters" / "0.parquet", CLUSTERS)
    texts = {step: {row.id: row.request.prefix + row.request.prompt for row in several} for step, several in asked.items()}
    return folder, rows, texts


def to_clusters(rows):
    return pa.Table.from_pylist(rows, schema=CLUSTERS)


def test_final_row_has_its_whole_history(run):
    folder, rows, prompts = run
    final = next(row for row in rows["dataset"] if row["cluster_size"] == 3)
    history = trace(str(folder), final["id"])
    function = history["function"]
    assert (history["kind"], function["id"], function["line"], function["judge"], function["score"]) == (
        ("response", final["function_id"], 10 + int(function["content"][5]), "yes", 1.25)
    )
    assert history["concepts"]["concepts"] == ["sums", "loops"]
    assert history["instruction"]["id"] == final["instruction_id"] and history["instruction"]["difficulty"] in ("easy", "hard")
    assert history["final"]["id"] == final["id"]
    fates = {row["sample"]: (row["verdict"], row["fate"]) for row in history["responses"]}
    assert fates[0][0] == "assertion_failed" and "tests line 1" in fates[0][1]
    assert fates[2] == ("passed", f"dropped by choose_responses: not_chosen ({_meaning('choose_responses', 'not_chosen')}) [{final['id']}]")
    assert fates[3][1].startswith("chosen among 2 that passed")
    assert "empty" in fates[None][1], "the sample that was not parsed is there too"
    assert len(history["stands_for"]) == 2, "also for the row of which the one that it stands for was a copy"
    assert history["prompts"] == {
        "judge": prompts["judge"][final["function_id"]],
        "concepts": prompts["concepts"][history["concepts"]["id"]],
        "instructions": prompts["instructions"][final["instruction_id"]],
        "responses": prompts["responses"][final["id"]],
    }


def _meaning(step, reason):
    return REASONS[step][reason]


def test_every_row_of_the_run_can_be_traced(run):
    folder, rows, _ = run
    kinds = {"concepts": "concepts", "instructions": "instruction", "seeds": "function", "functions": "function", "extracted": "function"}
    for dataset, items in rows.items():
        for row in items:
            assert trace(str(folder), row["id"])["kind"] == kinds.get(dataset, "response")


def test_dropped_rows_say_where_and_why(run):
    folder, rows, _ = run
    duplicate = trace(str(folder), functions()[-1]["id"])
    assert [(row["step"], row["reason"], row["detail"]) for row in duplicate["dropped"]] == [
        ("filter_functions", "near_duplicate", functions()[0]["id"]),
    ]
    kept = trace(str(folder), functions()[0]["id"])["function"]
    assert kept["copies"] == ["mine b.py:3 is a copy of mine lib/a.py:10"] and kept["near_duplicates"] == [functions()[-1]["id"]]
    file = trace(str(folder), row_id("file", "mine/c.py", 0))
    assert file["kind"] == "file or row of a source" and file["dropped"][0]["detail"] == "c.py: byte 3"
    used = {row["concepts_id"] for row in rows["instructions"]}
    (unused,) = [row for row in rows["concepts"] if row["id"] not in used]
    stopped = trace(str(folder), row_id("write_instructions", unused["id"], 0))
    assert (stopped["kind"], stopped["dropped"][0]["reason"]) == ("instruction", "length_stop")
    assert stopped["concepts"]["id"] == unused["id"] and stopped["function"]["id"] == unused["function_id"]
    empty = trace(str(folder), row_id("write_responses", rows["instructions"][0]["id"], 1))
    assert (empty["kind"], empty["dropped"][0]["reason"]) == ("response", "empty")
    assert empty["instruction"]["id"] == rows["instructions"][0]["id"]


def test_a_function_leads_to_its_descendants(run):
    folder, rows, _ = run
    final = rows["dataset"][0]
    below = trace(str(folder), final["function_id"])["descendants"]
    assert final["id"] in below["final"] and len(below["made"]) == 1
    concepts = trace(str(folder), below["made"][0]["id"])["descendants"]
    assert [row["id"] for row in concepts["made"]] == [final["instruction_id"]]


def test_command_prints_text_or_json(run, capsys):
    folder, rows, prompts = run
    final = rows["dataset"][0]
    assert main(["trace", final["id"], "--results", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"response {final['id']}: in the final dataset\n")
    for part in (
        "source mine, us/it, lib/a.py:1",
        "judge: yes, log P(yes) - log P(no) = 1.25",
        "sums, loops",
        "difficulty ",
        "Task ",
        "assertion_failed",
        "stands for 2",
    ):
        assert part in text
    assert prompts["responses"][final["id"]].splitlines()[0] in text
    assert main(["trace", final["id"], "--results", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == final["id"]
    assert main(["trace", functions()[-1]["id"], "--results", str(folder)]) == 0
    assert "dropped by filter_functions: near_duplicate" in capsys.readouterr().out


@pytest.mark.parametrize(("identifier", "message"), [("0" * 16, "no row of .* has this id"), ("17", "neither an id of this project")])
def test_unknown_ids_are_one_line(run, identifier, message):
    with pytest.raises(InputError, match=message):
        trace(str(run[0]), identifier)


def test_wrong_folders_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no such folder; name the results of a run with --results"):
        trace(str(tmp_path / "none"), "0" * 16)
    with pytest.raises(InputError, match="no dataset of a run in it"):
        trace(str(tmp_path), "0" * 16)


def test_foreign_ids_find_imported_rows(tmp_path):
    for number, foreign in enumerate(["7", "8", "8"]):
        (row, *_) = functions()[number:]
        write_shard(
            to_table([{**row, "judge": None, "score": None, "source_id": foreign}], "seeds"), tmp_path / "seeds" / f"{number}.parquet", "seeds"
        )
    with pytest.raises(InputError, match="8: 2 rows come from it; trace one of them"):
        trace(str(tmp_path), "8")
