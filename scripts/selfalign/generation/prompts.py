"""Prompts of the four model steps: a shared prefix (system line and few-shot examples), then the open example."""

from collections.abc import Sequence

from selfalign.generation.fewshot import Example, Judged

HEADING = "### Example"
STOP = "\n" + HEADING  # the heading of the next example ends a completion
DIFFICULTIES = ("easy", "medium", "hard")


def property_block(category: str, language: str, concepts: Sequence[str], difficulty: str) -> str:
    """The four `name: value` lines that describe the wanted instruction."""
    return f"category: {category}\nlanguage: {language}\nconcepts: {', '.join(concepts)}\ndifficulty: {difficulty}"


def question(step: str, example: Example | Judged) -> str:
    """What an example of `step` gives, up to the place where the answer begins."""
    if step in ("judge", "concepts"):
        return f"[Code]\n{example.snippet}\n\n{'[Verdict]' if step == 'judge' else '[Concepts]'}\n"
    if step == "instructions" and isinstance(example, Example):
        block = property_block(example.category, example.language, example.concepts, example.difficulty)
        return f"[Property]\n{block}\n\n[Instruction]\n"
    if step == "responses" and isinstance(example, Example):
        return f"[Instruction]\n{example.instruction}\n\n[Response]\n"
    raise ValueError(f"no such step: {step}")


def answer(step: str, example: Example | Judged) -> str:
    """The answer of an example of `step`."""
    if isinstance(example, Judged):
        return example.verdict
    if step == "concepts":
        return ", ".join(example.concepts)
    return example.instruction if step == "instructions" else example.response


def render_prefix(step: str, system: str, examples: Sequence[Example | Judged]) -> str:
    """The shared part of a prompt: system line, numbered examples, heading of the open one."""
    blocks = [system]
    blocks += [f"{HEADING} {i}\n{question(step, example)}{answer(step, example)}" for i, example in enumerate(examples, 1)]
    return "\n\n".join(blocks) + f"\n\n{HEADING} {len(examples) + 1}\n"
