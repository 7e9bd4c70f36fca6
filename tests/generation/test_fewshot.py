"""Few-shot files in both formats; a broken one is one line that names example and part."""

import pytest
import yaml

from selfalign.data.errors import InputError
from selfalign.generation.fewshot import Judged, load_fewshot

EXAMPLE = {
    "snippet": "def add(a, b):\n    return a + b",
    "category": "code generation",
    "language": "Python",
    "concepts": ["addition", "two arguments"],
    "difficulty": "easy",
    "instruction": "Write a function that adds.\n\nIt has two arguments.",
    "solution": "def plus(a, b):\n    return a + b\n\nassert plus(1, 2) == 3",
    "response": "[Reasoning]\nAdd.\n\n[Implementation]\n```python\ncode\n```\n\n[Explanation]\nIt adds.\n\n[Tests]\n```python\ntests\n```",
}
WHOLE = {
    "system": {"judge": "Judge.", "concepts": "List.", "instructions": "Write.", "responses": "Answer."},
    "examples": [EXAMPLE, {**EXAMPLE, "solution": "", "response": ""}],
    "judge": [{"snippet": "def f(): pass", "verdict": "No"}, {"snippet": "def g(): pass", "verdict": True}],
}


def block(number: int, example: dict) -> str:
    lines = [f"{name}: {example[name]}" for name in ("category", "language")]
    lines += [f"concepts: {', '.join(example['concepts'])}", f"difficulty: {example['difficulty']}"]
    parts = {"Code": example["snippet"], "Property": "\n".join(lines), "Instruction": example["instruction"]}
    parts |= {"Solution": example["solution"], "Response": example["response"]}
    return f"### Example {number}\n" + "\n\n".join(f"[{name}]\n{value}" for name, value in parts.items())


SYSTEMS = "### System: I->R\nAnswer.\n\n### System: C->I\nWrite.\n\n### System: S->C\nList.\n"
TEXT = "\n\n".join([SYSTEMS, *(block(number, example) for number, example in enumerate(WHOLE["examples"], 1))]) + "\n"
JUDGE = "\n### System: judge\nJudge.\n\n### Judge 1\n[Code]\ndef f(): pass\n\n[Verdict]\nNo\n\n### Judge 2\n[Code]\ndef g(): pass\n\n[Verdict]\nYes\n"


def load(tmp_path, text: str, name: str):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_fewshot(path)


def from_yaml(tmp_path, data):
    return load(tmp_path, yaml.safe_dump(data), "few.yaml")


def test_both_formats_give_the_same(tmp_path):
    fewshot = from_yaml(tmp_path, WHOLE)
    assert load(tmp_path, TEXT + JUDGE, "few.txt") == fewshot
    assert fewshot.examples[0].response == EXAMPLE["response"]
    assert fewshot.examples[0].concepts == ("addition", "two arguments")
    assert fewshot.judge == (Judged("def f(): pass", "No"), Judged("def g(): pass", "Yes"))
    assert [len(fewshot.serving(step)) for step in ("concepts", "instructions", "responses", "judge")] == [2, 2, 1, 2]


def test_a_text_file_without_a_judge_has_no_line_for_it(tmp_path):
    fewshot = load(tmp_path, TEXT, "few.txt")
    assert (fewshot.system["judge"], fewshot.judge, fewshot.system["responses"]) == ("", (), "Answer.")


def changed(number: int, **parts) -> dict:
    examples = [dict(example) for example in WHOLE["examples"]]
    examples[number].update(parts)
    return {**WHOLE, "examples": examples}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(1, snippet=None), "example 2: part 'snippet'"),
        (changed(0, instruction=["a"]), "example 1: part 'instruction'"),
        (changed(0, concepts="a, b"), "example 1: part 'concepts'"),
        (changed(0, response=5), "example 1: part 'response'"),
        (changed(1, respons="a slip"), "example 2: there is no part 'respons'"),
        ({**WHOLE, "judge": [{"snippet": "x", "verdict": "Yes", "reason": "y"}]}, "judge example 1: there is no part 'reason'"),
        ({**WHOLE, "examples": "none"}, "'examples' must be a list"),
        ({**WHOLE, "judge": [{"snippet": "x", "verdict": "Maybe"}]}, "judge example 1: part 'verdict' must be Yes or No"),
        ({**WHOLE, "system": {**WHOLE["system"], "concepts": ""}}, "system line for 'concepts'"),
        ({**WHOLE, "system": {**WHOLE["system"], "judge": 5}}, "system line for 'judge'"),
        ({"system": {}}, "must have exactly the parts system, examples and judge"),
    ],
)
def test_a_broken_yaml_file_is_one_line(tmp_path, data, said):
    with pytest.raises(InputError, match=said) as caught:
        from_yaml(tmp_path, data)
    assert "\n" not in str(caught.value)
    assert "few.yaml" in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_a_text_file(tmp_path):
    (tmp_path / "plain.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "marked.txt").write_text(TEXT, encoding="utf-8-sig")
    assert load_fewshot(tmp_path / "marked.txt") == load_fewshot(tmp_path / "plain.txt")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[Response]\n\n", "", r"example 2: part \[Response\] is missing"),
        ("[Code]", "[Property]", r"example 1: part \[Code\] is missing"),
        ("[Solution]\n", "[Solution]\n[Solution]\n", "example 1: the parts must be"),
        ("difficulty: easy", "", r"example 1: \[Property\] must have the four lines"),
        ("S->C", "S->I", "'### System: S->I': the steps are S->C, C->I, I->R, judge"),
        ("### System: I->R\nAnswer.", "### System: I->R", "system line for 'responses'"),
        ("### System: I->R", "words", "a text file begins with a heading"),
    ],
)
def test_a_broken_text_file_is_one_line(tmp_path, old, new, said):
    text = TEXT.rstrip() + "\n\n"
    assert old in text
    with pytest.raises(InputError, match=said):
        load(tmp_path, text.replace(old, new, 1) if old != "[Response]\n\n" else text[: text.rindex(old)], "few.txt")


def test_what_is_no_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_fewshot(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="YAML"):
        load(tmp_path, "system: [", "few.yaml")
    (tmp_path / "few.txt").write_bytes(b"### System: I->R\n\xff")
    with pytest.raises(InputError, match="UTF-8"):
        load_fewshot(tmp_path / "few.txt")
