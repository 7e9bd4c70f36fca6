"""Few-shot files: system lines and worked examples, as data. docs/fewshot.md has the format."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from selfalign.data.errors import InputError

STEPS = ("judge", "concepts", "instructions", "responses")
# Headings of the published text format; a judge is not in it, so that its headings are ours.
_HEADING = re.compile(r"^###[ \t]+((?:System:.*|(?:Example|Judge)[ \t]+\d+))[ \t]*$", re.MULTILINE)
_SYSTEM = {"S->C": "concepts", "C->I": "instructions", "I->R": "responses", "judge": "judge"}
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
    """Read and check a few-shot file: YAML, or the published project's text format if it is not named .yaml or .yml.

    A text file may leave the judge out: its system line is "" then. InputError names the example and the part that is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"few-shot file {path}: {(error.strerror or str(error)).lower()}; check the config's fewshot") from error
    except UnicodeDecodeError as error:
        raise InputError(f"few-shot file {path}: not UTF-8 text (byte {error.start})") from error
    if Path(path).suffix in (".yaml", ".yml"):
        data, wanted = _from_yaml(path, text), STEPS
    else:
        data = _from_text(path, text)
        wanted = STEPS if data["judge"] else STEPS[1:]
    for part, kind in (("system", dict), ("examples", list), ("judge", list)):
        if not isinstance(data[part], kind):
            raise InputError(f"few-shot file {path}: part {part!r} must be a {'mapping' if kind is dict else 'list'}")
    system = {}
    _only(path, "system", data["system"], STEPS)
    for step in STEPS:
        line = data["system"].get(step, "")
        if not isinstance(line, str) or (step in wanted and not line.strip()):
            raise InputError(f"few-shot file {path}: system line for {step!r} is missing or not a text")
        system[step] = line.strip()
    examples = tuple(_example(path, number, item) for number, item in enumerate(data["examples"], 1))
    judge = tuple(_judged(path, number, item) for number, item in enumerate(data["judge"], 1))
    return FewShot(system, examples, judge)


def _from_yaml(path, text: str) -> dict:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"few-shot file {path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict) or set(data) != {"system", "examples", "judge"}:
        raise InputError(f"few-shot file {path}: must have exactly the parts system, examples and judge")
    return data


def _from_text(path, text: str) -> dict:
    """The same mapping as YAML gives, from headings `### System: I->R`, `### Example N`, `### Judge N` and parts like `[Code]`."""
    data: dict = {"system": {}, "examples": [], "judge": []}
    headings = list(_HEADING.finditer(text))
    if not headings or text[: headings[0].start()].strip():
        raise InputError(f"few-shot file {path}: a text file begins with a heading such as '### System: I->R'; a YAML file is named .yaml")
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        block = text[heading.end() : following.start() if following else len(text)].strip("\n")
        name = heading.group(1)
        if name.startswith("System"):
            step = _SYSTEM.get(name.removeprefix("System:").strip())
            if step is None:
                raise InputError(f"few-shot file {path}: heading '### {name}': the steps are {', '.join(_SYSTEM)}")
            data["system"][step] = block
        elif name.startswith("Example"):
            data["examples"].append(_text_example(path, f"example {len(data['examples']) + 1}", block))
        else:
            where = f"judge example {len(data['judge']) + 1}"
            parts = _text_parts(path, where, block, ("Code", "Verdict"))
            data["judge"].append({"snippet": parts["Code"], "verdict": parts["Verdict"].strip()})
    return data


def _text_example(path, where: str, block: str) -> dict:
    parts = _text_parts(path, where, block, ("Code", "Property", "Instruction", "Solution", "Response"))
    lines = dict(line.split(":", 1) for line in parts["Property"].splitlines() if ":" in line)
    properties = {name.strip(): value.strip() for name, value in lines.items()}
    if set(properties) != {"category", "language", "concepts", "difficulty"}:
        raise InputError(f"few-shot file {path}: {where}: [Property] must have the four lines category, language, concepts and difficulty")
    concepts = [item.strip() for item in properties["concepts"].split(",") if item.strip()]
    texts = {"snippet": "Code", "instruction": "Instruction", "solution": "Solution", "response": "Response"}
    return {**properties, "concepts": concepts, **{name: parts[part] for name, part in texts.items()}}


def _text_parts(path, where: str, block: str, names: tuple[str, ...]) -> dict[str, str]:
    """The texts under the headings `[name]`, each of which must be there once, in this order."""
    found = list(re.finditer(rf"^\[({'|'.join(names)})\][ \t]*$", block, re.MULTILINE))
    if tuple(match.group(1) for match in found) != names:
        missing = next((name for name in names if name not in {match.group(1) for match in found}), None)
        problem = (
            f"part [{missing}] is missing" if missing else f"the parts must be {' '.join(f'[{name}]' for name in names)}, each once, in this order"
        )
        raise InputError(f"few-shot file {path}: {where}: {problem}")
    ends = [match.start() for match in found[1:]] + [len(block)]
    return {match.group(1): block[match.end() : end].strip("\n") for match, end in zip(found, ends, strict=True)}


def _part(path, where: str, item: object, part: str, optional: bool = False) -> str:
    value = item.get(part) if isinstance(item, dict) else None
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not (value.strip() or optional):
        raise InputError(f"few-shot file {path}: {where}: part {part!r} is missing or not a text")
    return value.strip("\n")


def _only(path, where: str, item: object, names: tuple[str, ...]) -> None:
    """InputError for a part that nobody reads: a slip of the pen, mostly."""
    if isinstance(item, dict) and (unknown := [str(name) for name in item if name not in names]):
        raise InputError(f"few-shot file {path}: {where}: there is no part {unknown[0]!r}; the parts are {', '.join(names)}")


def _example(path, number: int, item: object) -> Example:
    where = f"example {number}"
    _only(path, where, item, (*_TEXT_PARTS, "concepts", "solution"))
    parts = {part: _part(path, where, item, part, optional=part == "response") for part in _TEXT_PARTS}
    concepts = item.get("concepts") if isinstance(item, dict) else None
    if not isinstance(concepts, list) or not concepts or not all(isinstance(concept, str) for concept in concepts):
        raise InputError(f"few-shot file {path}: {where}: part 'concepts' must be a list of texts")
    return Example(concepts=tuple(concepts), solution=_part(path, where, item, "solution", optional=True), **parts)


def _judged(path, number: int, item: object) -> Judged:
    where = f"judge example {number}"
    _only(path, where, item, ("snippet", "verdict"))
    verdict = item.get("verdict") if isinstance(item, dict) else None
    # YAML reads a bare Yes or No as a truth value.
    verdict = {True: "Yes", False: "No"}.get(verdict, verdict) if isinstance(verdict, bool) else verdict
    if verdict not in ("Yes", "No"):
        raise InputError(f"few-shot file {path}: {where}: part 'verdict' must be Yes or No")
    return Judged(_part(path, where, item, "snippet"), verdict)
