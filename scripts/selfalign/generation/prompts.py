"""Prompts of the four model steps: a shared prefix (system line and few-shot examples), then the open example.

A step's examples come in a fixed number of draws; each row is assigned one by its id, so that a prefix cache computes
a draw once. `per-row` draws anew for each row, as the published code does.
"""

from collections.abc import Sequence

from selfalign.data.errors import ConfigError
from selfalign.data.ids import generator
from selfalign.generation.fewshot import Example, FewShot, Judged

HEADING = "### Example"
STOP = "\n" + HEADING  # the heading of the next example ends a completion
DIFFICULTIES = ("easy", "medium", "hard")

PER_ROW = "per-row"


def property_block(category: str, language: str, concepts: Sequence[str], difficulty: str) -> str:
    """The four `name: value` lines that describe the wanted instruction."""
    return f"category: {category}\nlanguage: {language}\nconcepts: {', '.join(concepts)}\ndifficulty: {difficulty}"


def question(step: str, example: Example | Judged) -> str:
    """What an example of `step` gives, up to the place where the answer begins."""
    if step in ("judge", "concepts"):
        return f"[Code]\n{example.snippet}\n\n{'[Verdict]' if step == 'judge' else '[Concepts]'}\n"
    if step == "instructions":
        block = property_block(example.category, example.language, example.concepts, example.difficulty)
        return f"[Property]\n{block}\n\n[Instruction]\n"
    if step == "responses":
        return f"[Instruction]\n{example.instruction}\n\n[Response]\n"
    raise ValueError(f"no such step: {step}")


def answer(step: str, example: Example | Judged) -> str:
    """The answer of an example of `step`."""
    if step == "judge":
        return example.verdict
    if step == "concepts":
        return ", ".join(example.concepts)
    return example.instruction if step == "instructions" else example.response


def render_prefix(step: str, system: str, examples: Sequence[Example | Judged]) -> str:
    """The shared part of a prompt: system line, numbered examples, heading of the open one."""
    blocks = [system]
    blocks += [f"{HEADING} {i}\n{question(step, example)}{answer(step, example)}" for i, example in enumerate(examples, 1)]
    return "\n\n".join(blocks) + f"\n\n{HEADING} {len(examples) + 1}\n"


def draw_examples(fewshot: FewShot, step: str, count: int, seed: int, draw: str) -> list[Example | Judged]:
    """`count` examples of `step` in random order, the same for the same (seed, step, draw)."""
    serving = fewshot.serving(step)
    if len(serving) < count:
        raise ConfigError(f"{step}: {count} few-shot examples asked for, the few-shot file has {len(serving)} that serve this step")
    return generator(seed, draw, f"few-shot {step}").sample(serving, count)


def assign_draw(row: str, seed: int, step: str, prefixes: int) -> int:
    """Which of the step's `prefixes` draws the row's prompt begins with."""
    return generator(seed, row, f"prefix {step}").randrange(prefixes)
