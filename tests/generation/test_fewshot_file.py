"""The few-shot file that comes with the project: every program in it runs, its tests prove something, and no benchmark is in it.

SELFALIGN_BENCHMARKS may name benchmark files (JSONL with prompt and canonical_solution, also gzipped; several with the
system's path separator) to check the file against.
"""

import ast
import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from selfalign.generation.fewshot import STEPS, Example, load_fewshot
from selfalign.generation.prompts import DIFFICULTIES, STOP, answer, question, render_prefix
from selfalign.generation.sections import code_blocks, split_sections

FILE = Path(__file__).parents[2] / "prompts" / "fewshot.yaml"
FEWSHOT = load_fewshot(FILE)
SECONDS = 20
NGRAM = 10  # words; the default of decontamination.ngram
HEADING = re.compile(r"^(\[\w+\]|###.*)$", re.MULTILINE)

each_example = pytest.mark.parametrize("example", FEWSHOT.examples, ids=range(1, len(FEWSHOT.examples) + 1))
each_response = pytest.mark.parametrize("example", FEWSHOT.serving("responses"))


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program from a file, apart from this process and its packages, in an empty folder."""
    path = folder / "program.py"
    path.write_text(program, encoding="utf-8")
    return subprocess.run([sys.executable, "-I", path], cwd=folder, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)


def without_bodies(program: str) -> str:
    """The program with every function and method, its tests apart, returning None."""
    tree = ast.parse(program)
    functions = [node for owner in ast.walk(tree) if isinstance(owner, ast.Module | ast.ClassDef) for node in owner.body]
    for node in functions:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("test_"):
            node.body = [ast.Return(ast.Constant(None))]
    return ast.unparse(ast.fix_missing_locations(tree))


def parts(example: Example) -> tuple[str, str]:
    """Implementation and tests of an example's response; there must be one block of each."""
    sections = split_sections(example.response)
    (implementation,), (tests,) = code_blocks(sections.implementation), code_blocks(sections.tests)
    return implementation, tests


def ngrams(text: str) -> set[tuple[str, ...]]:
    """All runs of NGRAM words (letters, digits, _) in a text, in lower case."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)}


def overlaps(path: Path, examples: Iterable[Example]) -> list[str]:
    """Each n-gram that an example shares with a problem of a benchmark file, with the problem's name."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    names = {}
    for problem in map(json.loads, content.strip().split(b"\n")):
        for gram in ngrams(problem["prompt"]) | ngrams(problem["canonical_solution"]):
            names.setdefault(gram, problem["task_id"])
    texts = [text for example in examples for text in (example.snippet, example.instruction, example.solution, example.response)]
    texts += [judged.snippet for judged in FEWSHOT.judge]
    return sorted({f"{names[gram]}: {' '.join(gram)}" for text in texts for gram in ngrams(text) if gram in names})


def test_enough_examples_of_each_difficulty_for_every_step():
    count = Counter(example.difficulty for example in FEWSHOT.examples)
    assert set(count) == set(DIFFICULTIES)
    assert min(count.values()) >= 5
    assert len(FEWSHOT.examples) >= 16
    assert len(FEWSHOT.serving("responses")) >= 10
    assert Counter(judged.verdict for judged in FEWSHOT.judge) == {"Yes": 4, "No": 4}


def test_examples_differ():
    for field in ("snippet", "concepts", "instruction", "solution"):
        values = [getattr(example, field) for example in FEWSHOT.examples]
        assert len(set(values)) == len(values), field
    assert len({judged.snippet for judged in FEWSHOT.judge} | {example.snippet for example in FEWSHOT.examples}) == 8 + len(FEWSHOT.examples)


@each_example
def test_concepts_survive_a_comma_separated_list(example):
    assert 3 <= len(example.concepts) <= 6
    assert answer("concepts", example).split(", ") == list(example.concepts)
    for concept in example.concepts:
        assert concept == concept.strip().lower() and 1 <= len(concept.split()) <= 5


@each_example
def test_snippet_is_one_documented_function(example):
    tree = ast.parse(example.snippet)
    functions = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(functions) == 1 and isinstance(functions[0], ast.FunctionDef)
    assert ast.get_docstring(functions[0])
    assert functions[0].args.args or functions[0].args.vararg
    assert 8 <= len(example.snippet.splitlines()) <= 40


@each_example
def test_solution_passes_its_tests(example, tmp_path):
    result = run(example.solution, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@each_example
def test_solution_without_bodies_fails(example, tmp_path):
    assert run(without_bodies(example.solution), tmp_path).returncode == 1


@each_example
def test_every_test_function_is_called(example):
    tree = ast.parse(example.solution)
    called = {ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Expr)}
    assert {f"{node.name}()" for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")} <= called


@each_response
def test_response_is_its_solution_in_four_sections(example, tmp_path):
    implementation, tests = parts(example)
    assert f"{implementation}\n\n{tests}".strip() == example.solution.strip()
    assert run(implementation + "\n" + tests, tmp_path).returncode == 0
    assert run(without_bodies(implementation) + "\n" + tests, tmp_path).returncode == 1


@each_example
def test_instruction_names_what_its_solution_defines(example):
    defined = {node.name for node in ast.parse(example.solution).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert any(re.search(rf"`{name}\b", example.instruction) for name in defined)


@pytest.mark.parametrize("step", STEPS)
def test_no_text_looks_like_another_part_of_the_prompt(step):
    allowed = {"[Reasoning]", "[Implementation]", "[Explanation]", "[Tests]"} if step == "responses" else set()
    for example in FEWSHOT.serving(step):
        own = answer(step, example)
        assert STOP not in "\n" + own
        assert set(HEADING.findall(own)) <= allowed
        assert len(HEADING.findall(question(step, example))) == 2


@pytest.mark.parametrize(("step", "count"), [("judge", 7), ("concepts", 8), ("instructions", 8), ("responses", 8)])
def test_longest_prompts_leave_room(step, count):
    # 8 responses are 8 times the published number. At 3 characters per token, a low figure for Python and English, this leaves over
    # 5,000 of the published model's 16,384 tokens for the open example and its completion.
    longest = sorted(FEWSHOT.serving(step), key=lambda example: len(question(step, example) + answer(step, example)))[-count:]
    assert len(render_prefix(step, FEWSHOT.system[step], longest)) < 33_000


def test_overlap_is_noticed(tmp_path):
    example = FEWSHOT.examples[0]
    problem = {"task_id": "planted/1", "prompt": f"Solve this. {example.instruction[:200]}", "canonical_solution": "pass"}
    path = tmp_path / "planted.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(problem) + "\n")
    assert overlaps(path, [example])[0].startswith("planted/1: ")
    assert overlaps(path, FEWSHOT.examples[1:]) == []


@pytest.mark.skipif(not os.environ.get("SELFALIGN_BENCHMARKS"), reason="SELFALIGN_BENCHMARKS names no benchmark file")
def test_no_overlap_with_benchmarks():
    for path in os.environ["SELFALIGN_BENCHMARKS"].split(os.pathsep):
        assert overlaps(Path(path), FEWSHOT.examples) == [], path
