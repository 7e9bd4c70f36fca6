"""Write benchmarks/miniature.jsonl: problems in HumanEval's format that hold out operations and compositions of the small world.

    python models/tiny/recipe/benchmark.py

The corpus never contains them: pairs and operations are held out by rule (operations.py), and no function whose normalised
syntax tree equals a solution's is written (corpus.py reads this file's solutions before it writes anything).
"""

import json
import random
from pathlib import Path

from corpus import draw_problem, examples_of
from operations import pair_held_out
from problems import Problem, ast_key, body, docstring, function, literal

PATH = Path(__file__).parents[3] / "benchmarks" / "miniature.jsonl"
SEED = 20_240_410
# group -> (operations in the chain, problems)
GROUPS = {"held-out pair": (2, 290), "held-out pair in three": (3, 70), "held-out operation": (1, 40), "held-out operation in a pair": (2, 60)}
CHECKS = 6


def _draw(group: str, length: int, rng: random.Random) -> Problem:
    while True:
        problem = draw_problem(rng, length, allowed=lambda first, second: True)
        ops = [op for op, _ in problem.chain]
        held_pairs = sum(pair_held_out(first, second) for first, second in zip(ops, ops[1:], strict=False))
        held_ops = sum(op.held_out for op in ops)
        if (held_ops == 1 and held_pairs == 0) if "operation" in group else (held_pairs > 0 and held_ops == 0):
            return problem


def build() -> list[dict]:
    """The problems, in HumanEval's format with an extra `group`."""
    rng = random.Random(SEED)
    rows, seen = [], set()
    for group, (length, count) in GROUPS.items():
        made = 0
        for _ in range(count * 200):
            problem = _draw(group, length, rng)
            solution = body(problem, rng)
            key = ast_key(function(problem, "", solution))
            cases = examples_of(problem, rng, CHECKS)
            outcomes = {literal(result) for _, result in cases}
            trivial = sum(literal(value) == literal(result) for value, result in cases) > CHECKS // 2
            if key in seen or len(cases) < CHECKS or len(outcomes) < 2 or trivial:
                continue
            seen.add(key)
            prompt = function(problem, docstring(problem, problem.phrases, rng, cases[:1]), "").rstrip() + "\n"
            test = "def check(candidate):\n" + "".join(f"    assert candidate({literal(value)}) == {literal(result)}\n" for value, result in cases)
            rows.append(
                {
                    "task_id": f"Miniature/{len(rows)}",
                    "prompt": prompt,
                    "entry_point": problem.name,
                    "canonical_solution": solution + "\n",
                    "test": test,
                    "group": group,
                }
            )
            made += 1
            if made == count:
                break
    return rows


def solution_keys() -> frozenset[str]:
    """The normalised syntax trees of the benchmark's solutions."""
    rows = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
    return frozenset(ast_key(row["prompt"] + row["canonical_solution"]) for row in rows)


if __name__ == "__main__":
    problems = build()
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text("".join(json.dumps(row) + "\n" for row in problems), encoding="utf-8")
    print(f"{PATH.name}: {len(problems)} problems")
