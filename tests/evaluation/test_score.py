import argparse
import json

import pytest

from selfalign.data.errors import InputError
from selfalign.evaluation.command import add_parsers
from selfalign.evaluation.score import load_samples
from selfalign.training.model import load_model, load_tokenizer

WRONG = "    return None\n"


def command(*words):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(required=True))
    arguments = parser.parse_args(list(map(str, words)))
    return arguments.run(arguments)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def completion(row, text=None):
    return {"task_id": row["task_id"], "completion": row["canonical_solution"] if text is None else text}


def test_canonical_solutions_pass_as_completions_and_as_solutions(rows, data, tmp_path, capsys):
    samples = [completion(row) for row in rows[:3]]
    samples += [{"task_id": row["task_id"], "solution": row["prompt"] + row["canonical_solution"]} for row in rows[3:]]
    command("score", "--benchmark", "six", "--data", data, write(tmp_path / "samples.jsonl", samples))
    assert capsys.readouterr().out.splitlines()[-1] == "six: 6 of 6 (100.0%)"


def test_wrong_and_missing_samples_count_as_failures(rows, data, tmp_path, capsys):
    samples = [*(completion(row) for row in rows[:3]), completion(rows[3], WRONG)]
    output = tmp_path / "verdicts.json"
    command("score", "--benchmark", "six", "--data", data, "--output", output, write(tmp_path / "samples.jsonl", samples))
    assert capsys.readouterr().out.splitlines() == ["  no_sample: 2", "  assertion_failed: 1", "six: 3 of 6 (50.0%)"]
    result = json.loads(output.read_text())
    assert [row["verdict"] for row in result["items"]] == ["passed"] * 3 + ["assertion_failed"] + ["no_sample"] * 2
    assert (result["score"], result["problems"], result["samples"]) == (0.5, 6, 4)


def test_several_samples_per_task_give_the_unbiased_pass_at_k(rows, data, tmp_path, capsys):
    samples = [completion(row, None if number < right else WRONG) for row, right in zip(rows, (5, 2, 0, 1), strict=False) for number in range(5)]
    output = tmp_path / "verdicts.json"
    command("score", "--benchmark", "six", "--data", data, "--output", output, write(tmp_path / "samples.jsonl", samples))
    # Four of six tasks have samples: (1 + 0.4 + 0 + 0.2) / 6, and at least one right among five for three of them.
    assert capsys.readouterr().out.splitlines()[-3:] == ["  pass@1: 26.7%", "  pass@5: 50.0%", "six: 1.6 of 6 (26.7%)"]
    assert json.loads(output.read_text())["pass_at"] == {"1": pytest.approx(1.6 / 6), "5": 0.5}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"task_id": "Miniature/0"}', "line 1 has neither"),
        ('{"task_id": "Other/0", "completion": ""}', "line 1: the benchmark has no problem 'Other/0'"),
        ('{"task_id": "Miniature/0", "completion": "x"}\n{"task_id"', "line 2 is not JSON"),
        ("", "no sample"),
    ],
)
def test_bad_samples_are_refused_with_their_line(problems, tmp_path, line, message):
    path = tmp_path / "samples.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=message) as error:
        load_samples(path, problems)
    assert str(path) in str(error.value)


def test_respond_prints_the_prefix_and_what_follows(cfg, tmp_path, capsys):
    load_tokenizer(cfg["model"]).save_pretrained(tmp_path)
    load_model(cfg["model"], "float32", 0.0, "cpu").save_pretrained(tmp_path)
    command("respond", "Write a function.", "--prefix", "def f():", "--model", tmp_path, "--max-new-tokens", 4)
    out = capsys.readouterr().out
    assert out.startswith("def f():") and out.endswith("\n")


def test_a_response_of_no_tokens_is_refused():
    with pytest.raises(InputError, match="--max-new-tokens 0: must be at least 1"):
        command("respond", "Write a function.", "--max-new-tokens", 0)


def test_a_benchmark_that_is_not_bundled_needs_its_file(tmp_path):
    with pytest.raises(InputError, match="--data"):
        command("score", "--benchmark", "humaneval", tmp_path / "samples.jsonl")


def test_data_with_another_digest_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="its SHA-256 is [0-9a-f]{64}, and not the 000"):
        command("score", "--benchmark", "six", "--data", data, "--sha256", "0" * 64, tmp_path / "samples.jsonl")
