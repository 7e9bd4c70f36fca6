"""The pages docs/steps/<step>.md: prose by hand, and below a mark what the code says: input, columns, reasons, parameters, files (`make docs`)."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from selfalign.data.config import load_schema
from selfalign.data.tables import DROPPED, REASONS, SCHEMAS, STEP_OF
from selfalign.report.configuration import rows

ROOT = Path(__file__).resolve().parents[3]
STEPS = (*STEP_OF.values(), "train_model", "evaluate_model")
MARK = "<!-- Below this line the page is made by `make docs`. -->\n"
_SHARED = {"model", "engine", "seed"}  # keys of many steps: a link is enough

COLUMNS = {
    "id": "16 hexadecimal digits: of a function over its content, of a later row over step, parent and draw",
    "function_id": "the function that the row began with; it decides the shard",
    "seed_id": "the seed that it was made from",
    "concepts_id": "the concept list that it was made from",
    "instruction_id": "the instruction that it answers",
    "source_id": "the id that an imported row had in its own file, else null",
    "content": "source text of the function",
    "sha1": "SHA-1 of the content",
    "path": "file in its source",
    "repository": "repository, or name and version of the package; empty if the source does not say",
    "line": "line of the `def`, from 1",
    "licence": "SPDX identifier",
    "source": "name of the source in the config",
    "imports": "in `extracted` what its file offers for the names that it mentions, later what had to be added",
    "judge": "the model's verdict",
    "score": "log P(Yes) - log P(No); null if the engine has no log-probabilities",
    "draw": "number of the draw, from 0",
    "sample": "number of the sample, from 0",
    "prefix": "which few-shot draw the prompt began with; -1 for one of its own",
    "concepts": "list of short texts",
    "category": "drawn from `categories`",
    "language": "of the instruction",
    "difficulty": "drawn from `difficulties`",
    "instruction": "text of the instruction",
    "response": "text with the four sections; in `dataset` in its final form",
    "finish_reason": "why the completion ended",
    "verdict": "`passed`",
    "detail": "what the sandbox adds",
    "seed": "content of the function that it began with",
    "cluster_size": "near-duplicates that the row stands for, itself included",
}


def main() -> None:
    """Write the part below the mark of every page."""
    for step in STEPS:
        path = ROOT / "docs" / "steps" / f"{step}.md"
        path.write_text(page(path.read_text(encoding="utf-8"), step), encoding="utf-8")


def page(text: str, step: str) -> str:
    """The page with everything below its mark made anew."""
    prose, mark, _ = text.partition(MARK)
    if not mark:
        sys.exit(f"docs/steps/{step}.md: no line {MARK!r}")
    return prose + MARK + "\n" + "\n".join([*_files(step), *_columns(step), *_reasons(step), *_parameters(step)]).rstrip() + "\n"


def _files(step: str) -> Iterator[str]:
    block = _rule(step)
    yield "## Files\n"
    yield f"Rule `{step}` in `rules/`, script `scripts/{step}.py`.\n"
    yield "| | files |\n|---|---|"
    for kind in ("input", "output"):
        match = re.search(rf"^    {kind}:\n(.*?)^    \w+:", block, re.MULTILINE | re.DOTALL)
        names = re.findall(r"^        (\w+)=", match[1], re.MULTILINE) if match else []
        yield f"| {kind} | {', '.join(f'`{name}`' for name in names)} |"
    yield "\n[The table of rules](../architecture.md#rules) has their paths.\n"


def _columns(step: str) -> Iterator[str]:
    dataset = next((name for name, made_by in STEP_OF.items() if made_by == step), None)
    if dataset is None:
        return
    place = "dataset/train.parquet" if dataset == "dataset" else f"{dataset}/<shard>.parquet"
    yield f"## Columns of `{place}`\n"
    yield "| column | type | |\n|---|---|---|"
    for field in SCHEMAS[dataset]:
        yield f"| `{field.name}` | `{field.type}` | {COLUMNS[field.name]} |"
    yield ""


def _reasons(step: str) -> Iterator[str]:
    if step not in REASONS:
        return
    yield "## Reasons for dropping a row\n"
    yield f"In `dropped/`, with {', '.join(f'`{name}`' for name in DROPPED.names)}; counts of each, zeros too, in `summary.json`.\n"
    yield "| reason | |\n|---|---|"
    for reason, meaning in REASONS[step].items():
        yield f"| `{reason}` | {meaning} |"
    yield ""


def _parameters(step: str) -> Iterator[str]:
    keys = parameters(step)
    parts = tuple(f"`{key}{end}" for key in keys - _SHARED for end in ("`", ".", "["))
    own = [row for row in rows(load_schema()) if row[0].startswith(parts)]
    yield "## Parameters\n"
    if keys & _SHARED:
        yield f"{', '.join(f'`{key}`' for key in sorted(keys & _SHARED))} ([configuration](../configuration.md)){', and:' if own else '.'}\n"
    if own:
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        yield from (f"| {' | '.join(row)} |" for row in own)


def parameters(step: str) -> set[str]:
    """Keys of the config that the rule's params name."""
    block = _rule(step)
    if "cfg=evaluation_cfg" in block:  # a function, since it depends on the wildcards
        common = (ROOT / "rules" / "common.smk").read_text(encoding="utf-8")
        block = common[common.index("def evaluation_cfg") :]
    found = re.search(r"(?:cfg=cfg|pick)\((.*?)\)", block, re.DOTALL)
    return set(re.findall(r'"([\w.]+)"', found[1])) if found else set()


def _rule(step: str) -> str:
    """The text of a rule."""
    for path in sorted((ROOT / "rules").glob("*.smk")):
        if match := re.search(rf"^rule {step}:\n.*?(?=^\S|\Z)", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            return match[0]
    raise KeyError(step)


if __name__ == "__main__":
    main()
