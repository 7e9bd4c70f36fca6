import argparse
import json

import pytest

from selfalign.data.errors import InputError
from selfalign.evaluation.command import add_parsers
from selfalign.evaluation.score import load_samples
from selfalign.training.model import load_model, load_tokenizer


def command(*words):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(required=True))
    arguments = parser.parse_args(list(map(str, words)))
    return arguments.run(arguments)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_canonical_solutions_pass_as_completions_and_as_solutions(problems, data, tmp_path, capsys):
    rows = [{"task_id": problem.task_id, "completion": problem.canonical_solution} for problem in problems[:3]]
    rows += [{"task_id": problem.task_id, "solution": problem.prompt + problem.canonical_solution} for problem in problems[3:]]
    command("score", "--benchmark", "six", "--data", data, write(tmp_path / "samples.jsonl", rows))
    assert capsys.readouterr().out.splitlines()[-1] == "six: 6 of 6 (100.0%)"


def test_wrong_and_missing_samples_count_as_failures(problems, data, tmp_path, capsys):
    rows = [{"task_id": problem.task_id, "completion": problem.canonical_solution} for problem in problems[:3]]
    rows.append({"task_id": problems[3].task_id, "completion": "    return None\n"})
    output = tmp_path / "verdicts.json"
    command("score", "--benchmark", "six", "--data", data, "--output", output, write(tmp_path / "samples.jsonl", rows))
    assert capsys.readouterr().out.splitlines() == ["  no_sample: 2", "  assertion_failed: 1", "six: 3 of 6 (50.0%)"]
    assert [row["verdict"] for row in json.loads(output.read_text())] == ["passed"] * 3 + ["assertion_failed"] + ["no_sample"] * 2


@pytest.mark.parametrize(
    ("row", "message"),
    [({"task_id": "Miniature/0"}, "line 1 has neither"), ({"task_id": "Other/0", "completion": ""}, "no problem 'Other/0'"), (None, "no sample")],
)
def test_bad_samples_are_refused_with_their_line(problems, tmp_path, row, message):
    path = write(tmp_path / "samples.jsonl", [row] if row else [])
    with pytest.raises(InputError, match=message):
        load_samples(path, problems)


def test_respond_prints_the_prefix_and_what_follows(cfg, tmp_path, capsys):
    load_tokenizer(cfg["model"]).save_pretrained(tmp_path)
    load_model(cfg["model"], "float32", 0.0, "cpu").save_pretrained(tmp_path)
    command("respond", "Write a function.", "--prefix", "def f():", "--model", tmp_path, "--max-new-tokens", 4)
    out = capsys.readouterr().out
    assert out.startswith("def f():") and out.endswith("\n")


def test_a_benchmark_that_is_not_bundled_needs_its_file(tmp_path):
    with pytest.raises(InputError, match="--data"):
        command("score", "--benchmark", "humaneval", tmp_path / "samples.jsonl")
