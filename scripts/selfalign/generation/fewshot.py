"""Few-shot files: system lines and worked examples, as data. docs/fewshot.md has the format."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from selfalign.data.errors import InputError

STEPS = ("judge", "concepts", "instructions", "responses")
_TEXT_PARTS = ("snippet", "category", "language", "difficulty", "instruction", "response")


@dataclass(frozen=True)
class Example:
    """One worked example, from a snippet of source code to a response with its tests.

    `solution` (a plain program) and `response` may be empty: such an example serves only S->C and C->I.
    """

    snippet: str
    category: str
    language: str
    concepts: tuple[str, ...]
    difficulty: str
    instruction: str
    solution: str
    response: str


@dataclass(frozen=True)
class Judged:
    """One worked example for the judge: a function and whether it is a good seed."""

    snippet: str
    verdict: str  # "Yes" or "No"


@dataclass(frozen=True)
class FewShot:
    """A few-shot file: a system line per step, examples for the three generation steps and for the judge."""

    system: dict[str, str]
    examples: tuple[Example, ...]
    judge: tuple[Judged, ...]

    def serving(self, step: str) -> tuple[Example, ...] | tuple[Judged, ...]:
        """The examples that can serve `step`: for responses only those that have one."""
        if step == "judge":
            return self.judge
        if step == "responses":
            return tuple(example for example in self.examples if example.response)
        return self.examples


def load_fewshot(path: str | os.PathLike) -> FewShot:
    """Read and check a few-shot file. InputError names the example and the part that is wrong."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"few-shot file {path}: no such file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"few-shot file {path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict) or set(data) != {"system", "examples", "judge"}:
        raise InputError(f"few-shot file {path}: must have exactly the parts system, examples and judge")
    for step in STEPS:
        if not isinstance(data["system"], dict) or not str(data["system"].get(step) or "").strip():
            raise InputError(f"few-shot file {path}: system line for {step!r} is missing")
    examples = tuple(_example(path, number, item) for number, item in enumerate(data["examples"] or [], 1))
    judge = tuple(_judged(path, number, item) for number, item in enumerate(data["judge"] or [], 1))
    return FewShot({step: data["system"][step].strip() for step in STEPS}, examples, judge)


def _part(path, where: str, item: object, part: str, optional: bool = False) -> str:
    value = item.get(part) if isinstance(item, dict) else None
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not (value.strip() or optional):
        raise InputError(f"few-shot file {path}: {where}: part {part!r} is missing or not a text")
    return value.strip("\n")


def _example(path, number: int, item: object) -> Example:
    where = f"example {number}"
    parts = {part: _part(path, where, item, part, optional=part == "response") for part in _TEXT_PARTS}
    concepts = item.get("concepts")
    if not isinstance(concepts, list) or not concepts or not all(isinstance(concept, str) for concept in concepts):
        raise InputError(f"few-shot file {path}: {where}: part 'concepts' must be a list of texts")
    return Example(concepts=tuple(concepts), solution=_part(path, where, item, "solution", optional=True), **parts)


def _judged(path, number: int, item: object) -> Judged:
    where = f"judge example {number}"
    verdict = item.get("verdict") if isinstance(item, dict) else None
    # YAML reads a bare Yes or No as a truth value.
    verdict = {True: "Yes", False: "No"}.get(verdict, verdict) if isinstance(verdict, bool) else verdict
    if verdict not in ("Yes", "No"):
        raise InputError(f"few-shot file {path}: {where}: part 'verdict' must be Yes or No")
    return Judged(_part(path, where, item, "snippet"), verdict)
