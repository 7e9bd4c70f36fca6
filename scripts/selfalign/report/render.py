"""results/report.html: one page, complete in itself. It loads nothing, and the same inputs give the same bytes.

Its own script is the only one that a browser will run (a content security policy names its hash), whatever the data holds.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfalign.data.config import entry_of
from selfalign.report import sections
from selfalign.report.examples import Example
from selfalign.report.markup import Html, join, tag
from selfalign.report.steps import PROMPT, funnel, step_cards

LIMIT = 5_000_000  # bytes of a page
# Rows of each step and characters of a listing: the first pair whose page stays below the limit is taken.
_SIZES = ((10, 8000), (10, 4000), (10, 2000), (5, 2000), (5, 1000), (2, 500), (0, 200))
_PAGE = Path(__file__).parent / "page"
_ROWS = "what became of every row: kept, or dropped for a reason."


@dataclass
class Facts:
    """What a report is made of. Only the summary must be there; every other part of the page is left out if the run did not make it."""

    summary: Mapping[str, Any]
    losses: Sequence[tuple[int, float, float]] = ()  # (step, epoch, loss)
    examples: Mapping[str, tuple[Sequence[Example], Sequence[Example]]] = field(default_factory=dict)  # by dataset: kept, dropped
    failures: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # by (benchmark, model)
    clusters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    concepts: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    lengths: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    origins: Sequence[Mapping[str, Any]] = ()


def render(facts: Facts, limit: int = LIMIT) -> str:
    """The page, with as many and as long examples as fit into `limit` bytes."""
    for shown, characters in _SIZES[:-1]:
        if _listed(facts, shown, characters) < limit and len((page := _page(facts, shown, characters)).encode()) < limit:
            return page
    return _page(facts, *_SIZES[-1])


def _listed(facts: Facts, shown: int, characters: int) -> int:
    """Characters of the examples' listings: less than the page will have, and much faster to count than to highlight."""
    examples = [example for both in facts.examples.values() for group in both for example in group[:shown]]
    texts = sum(min(len(listing), characters) for example in examples for _, _, listing in example.listings)
    return texts + sum(min(len(example.prompt), PROMPT * characters) for example in examples)


def _page(facts: Facts, shown: int, characters: int) -> str:
    parts = _parts(facts, shown, characters)
    script, style = ((_PAGE / name).read_text(encoding="utf-8") for name in ("script.js", "style.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    model = facts.summary["config"]["model"]["path"]
    head = join(
        [
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=policy),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("link", rel="icon", href="data:,"),
            tag("title", f"selfalign: {model}"),
            tag("style", Html(style)),
        ]
    )
    links = tag("nav", *(tag("a", name, href=f"#{_anchor(name)}") for name, _ in parts), aria_label="Sections")
    title = tag("header", *_title(facts.summary["config"]))
    body = [tag("section", tag("h2", name), content, id=_anchor(name)) for name, content in parts]
    main = tag(
        "main", title, sections.tiles(facts.summary), *body, tag("footer", "Made by selfalign. This page is complete in itself and loads nothing.")
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{links}\n{main}\n<script>{script}</script></body></html>\n'


def _title(config: Mapping[str, Any]) -> tuple[Html, Html]:
    """What the page is about. A model whose rows came from elsewhere has not taught itself."""
    model = config["model"]["path"]
    if entry := entry_of(dict(config)):
        return tag("h1", "How the model was taught"), tag("p", f"{model}, from the {entry} in {config['inputs'][entry]}: {_ROWS}")
    return tag("h1", "How the model taught itself"), tag("p", f"{model}: what it was asked, what it wrote, and {_ROWS}")


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _parts(facts: Facts, shown: int, characters: int) -> list[tuple[str, Html]]:
    """The sections that there is something to say in: name, content."""
    summary = facts.summary
    about = []
    if facts.concepts:
        about.append(sections.concepts(facts.concepts))
    if facts.properties:
        orders = {"difficulty": summary["config"].get("difficulties", ()), "category": summary["config"].get("categories", ())}
        about.append(sections.properties(facts.properties, orders))
    if facts.lengths:
        about.append(sections.lengths(facts.lengths))
    if facts.origins:
        about.append(sections.origins(facts.origins))
    verdicts = summary["verdicts"]
    cost = [sections.costs(summary["cost"])] if summary["cost"]["rules"] else []
    cost += [made(summary[name]) for name, made in (("generation", sections.generation), ("fewshot", sections.fewshot)) if summary.get(name)]
    parts = [
        ("Scores", sections.scores(summary["evaluation"]) if summary["evaluation"] else Html()),
        ("Funnel", funnel(summary["steps"]) if summary["steps"] else Html()),
        ("Steps", step_cards(summary["steps"], facts.examples, shown, characters)),
        ("Verdicts", sections.verdicts(verdicts) if sum(verdicts.values()) else Html()),
        ("Near-duplicates", sections.clusters(facts.clusters, characters) if facts.clusters else Html()),
        ("Distributions", join(about)),
        ("Training", sections.training(summary["training"], facts.losses) if summary["training"] else Html()),
        ("Failures", sections.failures(facts.failures, characters) if shown else Html()),
        ("Cost", join(cost)),
        ("Environment", sections.surroundings(summary)),
    ]
    return [(name, content) for name, content in parts if content]
