"""The model card (README.md of the model folder), with the notice that the sources ask for.

Every number in the card comes from a file of the run: training settings and facts from `selfalign.json` in the model folder,
scores from the evaluation files.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, hf_hub_download

from selfalign.data.config import IMPORTED
from selfalign.data.errors import InputError
from selfalign.data.job import write_json
from selfalign.data.notice import notice

FACTS = "selfalign.json"
DATASET = "selfalign-dataset"  # the final dataset's repository, unless the config's hub names another
_TEMPLATE = Path(__file__).with_name("card.md")
_NOT_IN_CARD = ("micro_batch", "device", "processes", "threads", "save_steps")  # settings that are about the machine

_ORIGIN = """The base model wrote the pairs itself, starting from
functions in openly licensed code; only responses that passed their own tests in a sandbox were kept. No person and no other model
wrote any of them."""
_LIMITS = """The data is limited to what the base model can write and its own tests can check: tests may be weak, and a passing response may be
wrong. All of it is Python."""
# Of a run that begins with rows from elsewhere less is known.
_ORIGIN_IMPORTED = """The run began
with rows from elsewhere (`{}`): who or what wrote and checked them is for their origin to say. What the run added to them the base model wrote."""
_LIMITS_IMPORTED = "Rows from elsewhere may be wrong in ways that this run cannot see, and so may a response that passes its tests."


def write_card(model: str | os.PathLike, cfg: dict, facts: dict[str, Any]) -> None:
    """Write README.md, NOTICE.txt and selfalign.json into the model folder. cfg: the config's model, training, sources, seed."""
    write_json({**{name: cfg[name] for name in ("model", "training", "sources", "seed")}, "facts": facts}, Path(model) / FACTS)
    (Path(model) / "NOTICE.txt").write_text(notice(cfg["sources"]), encoding="utf-8")
    complete_card(model, [])


def complete_card(model: str | os.PathLike, evaluations: Iterable[str | os.PathLike], dataset: str = DATASET) -> None:
    """Write README.md again with the scores of those of the evaluation files that exist. dataset: name of the final dataset's repository.

    It replaces the file's content in place, so that the model folder itself does not look newer to the workflow.
    """
    try:
        run = json.loads((Path(model) / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"model {model}: no {FACTS} in it, so it was not trained by selfalign; a card is written for such models only") from error
    results = [json.loads(Path(path).read_text(encoding="utf-8")) for path in sorted(map(str, evaluations)) if Path(path).exists()]
    (Path(model) / "README.md").write_text(card(run, results, dataset), encoding="utf-8")


def card(run: dict[str, Any], results: list[dict[str, Any]], dataset: str = DATASET) -> str:
    """The text of the card. run: the content of selfalign.json; results: the contents of evaluation files."""
    path = run["model"]["path"]
    base = Path(path).name if Path(path).is_absolute() else path  # a folder of this machine is of no use to a reader
    front = {
        "pipeline_tag": "text-generation",
        "base_model": base,
        "datasets": [dataset],
        "license": _base_licence(path, run["model"]["revision"]),
        "library_name": "transformers",
        "tags": ["code", "instruction-tuned", "self-alignment", "selfalign"],
    }
    if tuned := [result for result in results if result["which"] == "tuned"]:
        front["model-index"] = [{"name": f"{Path(base).name}-selfalign", "results": [_index_entry(result) for result in tuned]}]
    imported = [source["name"] for source in run["sources"] if source.get("kind") == IMPORTED]
    stated = "what each row states, unknown where it states none" if imported else "what each row states"  # as in the notice
    values = {
        "origin": _ORIGIN_IMPORTED.format(imported[0]) if imported else _ORIGIN,
        "limits": _LIMITS_IMPORTED if imported else _LIMITS,
        "front": yaml.safe_dump(front, sort_keys=False).strip(),
        "name": Path(base).name,
        "base": base,
        "dataset": dataset,
        "settings": "\n".join(f"| {name} | {value} |" for name, value in run["training"].items() if name not in _NOT_IN_CARD),
        "seed": run["seed"],
        "scores": _table(results) if results else "Not evaluated yet.",
        "licences": ", ".join(sorted({source["licence"] or stated for source in run["sources"]})),
        **{name: f"{value:,}" if isinstance(value, int) else f"{value:.4f}" for name, value in run["facts"].items()},
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"${name}$", str(value))
    return text


def _base_licence(base: str, revision: str) -> str:
    """The licence in the front matter of the base model's card, `other` if it has none or cannot be had."""
    try:
        path = Path(base) / "README.md" if Path(base).is_dir() else hf_hub_download(base, "README.md", revision=revision or None)
        return ModelCard.load(path, ignore_metadata_errors=True).data.get("license") or "other"
    except (OSError, ValueError):  # of the hub too: no network, no such file
        return "other"


def _index_entry(result: dict[str, Any]) -> dict[str, Any]:
    metrics = [{"type": "pass@1", "value": _percent(result["greedy"]), "name": "pass@1 (greedy)"}]
    if result["mean"]:
        metrics.append({"type": "pass@1", "value": _percent(result["mean"]), "name": f"pass@1 (mean of {result['mean']['samples']} samples)"})
    dataset = {"name": result.get("title") or result["benchmark"], "type": result["benchmark"]}
    return {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}


def _table(results: list[dict[str, Any]]) -> str:
    lines = ["| benchmark | model | prompt | greedy pass@1 | 95% interval | mean of samples | 95% interval |", "|---|---|---|---|---|---|---|"]
    for result in results:
        cells = [result["benchmark"], result["which"], result["form"], *_cells(result["greedy"]), *_cells(result["mean"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(score: dict[str, Any] | None) -> tuple[str, str]:
    if score is None:
        return "", ""
    low, high = (round(100 * value, 1) for value in score["interval"])
    return str(_percent(score)), f"{low} to {high}"


def _percent(score: dict[str, Any]) -> float:
    return round(100 * score["score"], 1)
