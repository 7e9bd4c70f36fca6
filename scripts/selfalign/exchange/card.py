"""The card (README.md) of a dataset repository. Every number in it is counted from the run's files."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from selfalign.data.config import HUB, entry_of, source_name
from selfalign.data.files import read_shard
from selfalign.data.tables import REASONS, steps_from
from selfalign.exchange.export import COLUMNS, Facts, meaning

_TEMPLATE = Path(__file__).with_name("card.md")
_PARENT = {"seeds": "functions", "concepts": "seeds", "instructions": "concepts", "responses": "instructions", "executed": "responses"}
_PARENT |= {"functions": "extracted", "dataset": "executed"}
_HOW = {
    "extracted": "every top-level function with a docstring, exact copies removed.",
    "functions": "near-duplicates, functions that cannot stand alone and benchmark problems are removed; each passes a type checker.",
    "seeds": "functions whose docstring says enough to write them again, as the model judged.",
    "concepts": "the model lists the programming concepts of each seed.",
    "instructions": "the model writes a task from concepts, a category and a difficulty.",
    "responses": "the model answers each instruction several times, with tests.",
    "executed": "responses whose implementation passes their own tests in a sandbox.",
    "dataset": "one passing response per instruction, duplicates and benchmark problems removed, form varied.",
}
# Identifiers of licences as the hub spells them; any other makes the front matter say `other`.
_HUB_LICENCES = ("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc0-1.0", "zlib")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def repository(hub: Mapping[str, Any], dataset: str) -> str:
    """The name of a dataset's repository on the hub, without an owner if the config names none."""
    name = f"{hub['name']}-{dataset}"
    return f"{hub['owner']}/{name}" if hub["owner"] else name


def card(dataset: str, cfg: Mapping[str, Any], facts: Facts, dropped: Iterable[str]) -> str:
    """The text of the card. cfg: the config's hub, inputs and model; dropped: the files of what was dropped since its parent."""
    entry = entry_of(dict(cfg))
    step = steps_from(entry)[dataset]
    parent = _parent(dataset, entry, cfg)
    reasons: Counter[tuple[str, str]] = Counter()
    for path in dropped:
        table = read_shard(path, ["step", "reason"])
        reasons.update(zip(table["step"].to_pylist(), table["reason"].to_pylist(), strict=True))
    licences = sorted(facts.licences.items(), key=lambda item: (-item[1], item[0]))
    values = {
        "front": yaml.safe_dump(_front(dataset, cfg, facts, parent), sort_keys=False).strip(),
        "title": repository(cfg["hub"], dataset),
        "repository": repository(cfg["hub"], dataset),
        "dataset": dataset,
        "rows": f"{facts.rows:,}",
        "model": cfg["model"]["path"],
        "parent": f"`{parent}`" if parent else "source code",
        "step": step,
        "how": _HOW[dataset],
        "columns": "\n".join(f"| `{field.name}` | {_kind(str(field.type))} | {meaning(field.name)} |" for field in COLUMNS[dataset]),
        "dropped": "\n".join(
            f"| dropped by `{at}` as `{reason}`: {REASONS[at][reason]} | {count:,} |" for (at, reason), count in reasons.most_common()
        )
        or "| dropped on the way from its parent | 0 |",
        "licences": "\n".join(f"| {name} | {count:,} |" for name, count in licences) or "| none | 0 |",
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"${name}$", value)
    return text


def _parent(dataset: str, entry: str | None, cfg: Mapping[str, Any]) -> str:
    """The repository that this one was made from, or the address from which its parent was imported; "" for source code."""
    parent = _PARENT.get(dataset)
    if parent is None:
        return ""
    return source_name(cfg["inputs"][entry]) if parent == entry else repository(cfg["hub"], parent)


def _front(dataset: str, cfg: Mapping[str, Any], facts: Facts, parent: str) -> dict[str, Any]:
    """What the hub reads at the top of a card."""
    names = sorted({name.lower() for name in facts.licences})
    known = names if names and all(name in _HUB_LICENCES for name in names) else ["other"]
    front: dict[str, Any] = {"license": known[0] if len(known) == 1 else known, "language": ["code", "en"], "tags": ["code", "selfalign", dataset]}
    if known == ["other"]:
        front |= {"license_name": "see-card", "license_link": "NOTICE.txt"}
    if dataset in ("instructions", "responses", "executed", "dataset"):
        front["task_categories"] = ["text-generation"]
    front["size_categories"] = [next((name for limit, name in _SIZES if facts.rows < limit), "n>10M")]
    name = parent.removeprefix(f"{HUB}datasets/")
    if parent and name.count("/") == 1 and (parent.startswith(HUB) or cfg["hub"]["owner"]):
        front["source_datasets"] = [name]
    front["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}]
    return front


def _kind(kind: str) -> str:
    return {"string": "text", "int32": "integer", "double": "number"}.get(kind, "list of texts")
