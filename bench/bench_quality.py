"""Near-dedup and decontamination against a known truth. What they find, not how fast: seconds, and no other tool.

    python bench/bench_quality.py near-dedup [--corpus cache/bench/functions.parquet]      # bench_data.py --parts extract writes it
    python bench/bench_quality.py decontamination HumanEval.jsonl.gz …
"""

import argparse
import ast
import json
import random
import re
import tempfile
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import bench_data
import pyarrow.parquet as pq
from known_duplicates import components, quality

from selfalign.data.ids import content_id
from selfalign.dedup.shingles import words_of
from selfalign.selection.decontamination import Decontamination, load_benchmark, prose_of

SEED = 11
HEADER = "# The same header in every file of the project, with all the rights that nobody reserves, and see the licence for the rest\n" * 3


def edited(text: str, share: float, rng: random.Random) -> str:
    """The text with this share of its words and separators replaced, where they are names."""
    parts = re.split(r"(\W+)", text)
    for place in rng.sample(range(len(parts)), max(1, int(len(parts) * share))):
        if parts[place].isidentifier():
            parts[place] = f"other{rng.randrange(1000)}"
    return "".join(parts)


def near_dedup(corpus: str) -> None:
    """Real functions, edited copies of some, and short ones under one header: all pairs compared, against the project's clusters."""
    texts = sorted(pq.read_table(corpus, columns=["content"])["content"].to_pylist())
    rng = random.Random(SEED)
    base = rng.sample(texts, 1200)
    rows = list(base)
    for text in rng.sample(base, 300):
        rows += [edited(text, rng.choice((0.01, 0.03, 0.06, 0.1, 0.15)), rng) for _ in range(rng.choice((1, 2, 4)))]
    rows += [HEADER + text for text in base if len(text) < 300][:80]
    rows = list(dict.fromkeys(rows))
    ids = [content_id(row) for row in rows]
    words = [words_of(row) for row in rows]
    shingles = [{tuple(own[i : i + 5]) for i in range(max(len(own) - 4, 1))} for own in words]
    having = defaultdict(list)
    for row, own in enumerate(shingles):
        for shingle in own:
            having[shingle].append(row)
    shared = Counter(pair for several in having.values() for pair in combinations(several, 2))
    alike = {(a, b): count / (len(shingles[a]) + len(shingles[b]) - count) for (a, b), count in shared.items()}
    for threshold in (0.5, 0.7):
        groups = defaultdict(list)
        for row, group in enumerate(components(len(rows), [pair for pair, value in alike.items() if value >= threshold])):
            groups[group].append(row)
        truth = {pair for group in groups.values() for pair in combinations(group, 2)}
        bench_data.DEDUP["threshold"] = threshold
        for verify in ("jaccard", "signature"):
            with tempfile.TemporaryDirectory() as folder:
                found = bench_data.representatives_of(bench_data.deduplicate([(ids, rows)], Path(folder), verify))
            print(f"{threshold} {verify:10} {len(rows)} texts, {len(truth)} true pairs, {quality([found.get(row, row) for row in ids], truth)}")


class _Renamed(ast.NodeTransformer):
    """Every function, argument and variable that the code binds gets another name; docstrings and annotations go."""

    def __init__(self, tree: ast.AST):
        bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.names = {name: f"other{number}" for number, name in enumerate(sorted(bound, reverse=True))}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self.names[node.arg])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name, node.returns = self.names[node.name], None
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)


def renamed(code: str) -> str:
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ""
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    return ast.unparse(ast.fix_missing_locations(_Renamed(tree).visit(tree)))


def with_other_words(text: str, share: float, rng: random.Random) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), max(1, int(len(words) * share))):
        words[place] = "something"
    return " ".join(words)


def with_words_left_out(text: str, share: float, rng: random.Random) -> str:
    words = text.split()
    left_out = set(rng.sample(range(len(words)), max(1, int(len(words) * share))))
    return " ".join(word for place, word in enumerate(words) if place not in left_out)


def with_sentences_turned_round(text: str) -> str:
    return " ".join(reversed(re.split(r"(?<=[.!?])\s+", " ".join(text.split()))))


def decontamination(paths: list[str], corpus: str) -> None:
    """How many problems of each benchmark are found, planted in some forms; any problem counts, since benchmarks repeat some. Then how many
    rewordings by hand (bench/rewordings.jsonl) are, and how many functions of installed packages, of which some do solve a problem.
    """
    rewordings = [json.loads(line) for line in Path(__file__).with_name("rewordings.jsonl").read_text(encoding="utf-8").splitlines()]
    functions = pq.read_table(corpus, columns=["content"])["content"].to_pylist() if Path(corpus).exists() else []
    for path in paths:
        problems = load_benchmark(path)
        index = Decontamination([problems], 10)
        tasks = {problem.task for problem in problems}
        rng = random.Random(SEED)
        prompts = [problem.statements[0] if problem.statements else "" for problem in problems]
        codes = [problem.solutions[0] if problem.solutions else "" for problem in problems]
        whole = [prompt + code for prompt, code in zip(prompts, codes, strict=True)]
        forms = {
            "prompt": prompts,
            "prompt in capitals on one line": [" ".join(prompt.upper().split()) for prompt in prompts],
            "prose in an instruction": [f"Write this in Python. {prose_of(prompt)}" for prompt in prompts],
            "solution": codes,
            "solution, all names changed, no docstring": [renamed(code) for code in whole],
        }
        for share in (0.05, 0.1, 0.2, 0.3):
            forms[f"prose, {share:.0%} of its words changed"] = [with_other_words(prose_of(prompt), share, rng) for prompt in prompts]
        forms["prose, 20% of its words left out"] = [with_words_left_out(prose_of(prompt), 0.2, rng) for prompt in prompts]
        turned = [with_sentences_turned_round(prose_of(prompt)) for prompt in prompts]
        forms["prose, sentences in reverse order, 10% changed"] = [with_other_words(text, 0.1, rng) for text in turned]
        forms["prose in other words"] = [row["text"] for row in rewordings if row["task_id"] in tasks]
        forms["flagged: functions of installed packages"] = functions
        for form, texts in forms.items():
            hits = [one or other for one, other in zip(index.find(texts), index.find_renamed(texts), strict=True)]
            print(f"{Path(path).name}: {form:47} {sum(hit is not None for hit in hits)} of {len(texts)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["near-dedup", "decontamination"])
    parser.add_argument("benchmarks", nargs="*", help="benchmark files to plant")
    parser.add_argument("--corpus", default="cache/bench/functions.parquet")
    arguments = parser.parse_args()
    near_dedup(arguments.corpus) if arguments.what == "near-dedup" else decontamination(arguments.benchmarks, arguments.corpus)
