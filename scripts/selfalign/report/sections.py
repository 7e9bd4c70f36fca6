"""The report's sections beside the steps: scores, verdicts, near-duplicates, distributions, training, cost, environment."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from selfalign.data.tables import REASONS
from selfalign.report.charts import bars, curve, dots, stacked
from selfalign.report.markup import Html, code, count, duration, explained, facts, fold, join, note, plain, share, table, tag
from selfalign.report.published import RUN, all_published, published

_CONFIG = 20_000  # characters of the config on the page; results/config.yaml has all of it
_FAILURES = 10  # of each model on each benchmark


def tiles(summary: Mapping[str, Any]) -> Html:
    """The run in a few numbers."""
    rows = {step["dataset"]: step for step in summary["steps"]}
    names = {"extracted": "functions with a docstring", "seeds": "seeds", "responses": "well-formed responses", "executed": "responses that pass"}
    shown = [_tile(count(rows[dataset]["kept"]), name) for dataset, name in names.items() if dataset in rows]
    if "dataset" in rows:
        shown.append(_tile(count(summary["final_rows"]), "rows in the final dataset", "strong"))
    for benchmark, models in list(summary["evaluation"].items())[:4]:
        scores = {which: f"{100 * models[which]['greedy']['score']:.1f}%" for which in ("base", "tuned") if _has(models, which, "greedy")}
        if scores:
            shown.append(_tile(" → ".join(scores.values()), f"{benchmark}, greedy: {' → '.join(scores)}", "strong wide"))
    shown.append(_tile(duration(summary["cost"]["seconds"]), "of work in all jobs"))
    return tag("div", *shown, class_="tiles")


def _tile(number: str, name: str, kind: str = "") -> Html:
    return tag("div", tag("b", number), tag("span", name), class_=f"tile {kind}".strip())


def scores(evaluation: Mapping[str, Mapping[str, Any]]) -> Html:
    """Base against tuned against published, as marks on one scale and as a table."""
    charts, rows = [], []
    for benchmark, models in evaluation.items():
        reference = published(benchmark)
        for kind, name in (("greedy", "greedy"), ("mean", "mean of samples")):
            marks = [
                (which, models[which][kind]["score"], models[which][kind]["interval"], which)
                for which in ("base", "tuned")
                if _has(models, which, kind)
            ]
            if reference and kind == "greedy":
                marks += [
                    (f"published, {which}", value / 100, None, "published")
                    for which, value in (("base", reference.base), ("tuned", reference.tuned))
                    if value
                ]
            if marks:
                charts.append(_score_line(benchmark, name, dots(marks, f"{benchmark}, {name}"), models.get("gain", {}).get(kind)))
        for which in ("base", "tuned"):
            if which in models:
                model = models[which]
                rows.append(
                    (
                        benchmark,
                        which,
                        count(model.get("problems")),
                        model.get("form", ""),
                        *_percent(model.get("greedy")),
                        *_percent(model.get("mean")),
                    )
                )
        if reference:
            pairs = (("published base", reference.base), ("published tuned", reference.tuned))
            rows += [(benchmark, which, "", "chat" if "tuned" in which else "", f"{value:.1f}%", "", "", "") for which, value in pairs if value]
    if not rows:
        return note("No model was evaluated.")
    axis = tag("div", *(tag("span", f"{percent}%") for percent in (0, 25, 50, 75, 100)), class_="axis")
    compared = any(published(benchmark) for benchmark in evaluation)
    known = [which for which in ("base", "tuned") if any(which in models for models in evaluation.values())]
    legend = [tag("span", tag("i"), name, class_=f"chip {name}") for name in (*known, *(["published"] if compared else []))]
    headers = ("Benchmark", "Model", "Problems", "Prompt", "Greedy", "95% interval", "Mean of samples", "95% interval")
    return join(
        [
            tag("div", tag("div", *legend), *charts, tag("div", tag("span"), axis, class_="score"), class_="card"),
            tag(
                "div",
                table(headers, rows, (2, 4, 6), "Scores"),
                note("pass@1; the base model with the better of its prompt forms. Intervals are of 95%."),
                class_="card",
            ),
            _groups(evaluation),
            _published_table(evaluation),
        ]
    )


def _has(models: Mapping[str, Any], which: str, kind: str) -> bool:
    return bool(models.get(which) and models[which].get(kind))


def _score_line(benchmark: str, kind: str, chart: Html, gain: float | None) -> Html:
    name = tag("div", benchmark, tag("small", kind), class_="name")
    change = tag(
        "div", "" if gain is None else f"{gain:+.1f} points", class_=f"gain {'up' if (gain or 0) > 0 else 'down' if (gain or 0) < 0 else ''}"
    )
    return tag("div", name, chart, change, class_="score")


def _percent(score: Mapping[str, Any] | None) -> tuple[str, str]:
    if not score:
        return "", ""
    low, high = (100 * value for value in score["interval"])
    return f"{100 * score['score']:.1f}%", f"{low:.1f} to {high:.1f}"


def _groups(evaluation: Mapping[str, Mapping[str, Any]]) -> Html:
    rows = []
    for benchmark, models in evaluation.items():
        found = {which: models[which].get("groups") or {} for which in ("base", "tuned") if which in models}
        for group in sorted({name for groups in found.values() for name in groups}):
            entries = [groups.get(group) for groups in (found.get("base", {}), found.get("tuned", {}))]
            problems = next(entry["problems"] for entry in entries if entry)
            rows.append((benchmark, group, count(problems), *(share(entry["passed"], entry["problems"]) if entry else "" for entry in entries)))
    return (
        fold("Scores by group of problems", table(("Benchmark", "Group", "Problems", "Base", "Tuned"), rows, (2, 3, 4), "Scores by group"))
        if len(rows) > 1
        else Html()
    )


def _published_table(evaluation: Mapping[str, Any]) -> Html:
    rows = [(entry.name, "" if entry.base is None else f"{entry.base:.1f}%", f"{entry.tuned:.1f}%") for entry in all_published()]
    compared = any(published(benchmark) for benchmark in evaluation)
    remark = "They stand beside this run's where a benchmark has the same name." if compared else "None of this run's benchmarks is among them."
    return fold(
        f"Published scores of {RUN}",
        note("Greedy pass@1, from its model card. ", remark),
        table(("Benchmark", "Base", "Tuned"), rows, (1, 2), "Published"),
    )


def verdicts(found: Mapping[str, int]) -> Html:
    """What became of the executed responses."""
    total = sum(found.values())
    meaning = {"passed": "implementation and tests ran, and every test held", **REASONS["execute_responses"]}
    ordered = sorted(found.items(), key=lambda item: (item[0] != "passed", -item[1], item[0]))
    drops = [name for name, _ in ordered if name != "passed"]
    parts = [(name, value, "kept" if name == "passed" else f"d{min(drops.index(name), 5)}") for name, value in ordered]
    rows = [(explained(name, meaning), count(value), share(value, total)) for name, value in ordered if value]
    absent = [name for name, value in ordered if not value]
    remark = note("None ended as: ", ", ".join(absent), ".") if absent else ""
    listing = table(("Verdict", "Responses", "Share"), rows, (1, 2), "Verdicts")
    return tag("div", stacked(parts, total, "Verdicts"), listing, remark, class_="card")


_PASSES = {"functions": "Functions", "instruction": "Candidates by instruction", "response": "Candidates by response", "code": "Candidates by code"}


def clusters(passes: Mapping[str, Mapping[str, Any]], characters: int) -> Html:
    """Near-duplicate clusters of each pass: how many, how large, and the largest to look at."""
    cards, without = [], []
    for part in sorted(passes, key=lambda name: (list(_PASSES).index(name) if name in _PASSES else len(_PASSES), name)):
        found, name = passes[part], _PASSES.get(part, part)
        if not found["clusters"]:
            without.append(name.lower())
            continue
        sizes = bars([(f"{size} rows", value, count(value)) for size, value in _binned(found["sizes"])], "Clusters by size", logarithmic=True)
        largest = [
            fold(f"A cluster of {count(cluster['size'])} rows", code(cluster["difference"], "diff", 2 * characters))
            for cluster in found["largest"]
            if cluster["difference"]
        ]
        numbers = facts({"clusters": count(found["clusters"]), "rows in them": count(found["rows"])})
        cards.append(tag("div", tag("h3", name), numbers, sizes, *largest, class_="card"))
    remarks = [note("A cluster's row with the smallest id stays. Lengths of the bars are logarithmic.")] if cards else []
    remarks += [note("No near-duplicates among: ", ", ".join(without), ".")] if without else []
    return tag("div", *cards, class_="pair") + join(remarks) if cards else join(remarks)


def _binned(sizes: Mapping[int, int]) -> list[tuple[str, int]]:
    """Clusters by size, large sizes together."""
    bins = [(2, 2), (3, 3), (4, 4), (5, 9), (10, 99), (100, 10**12)]
    counted = [(low, high, sum(number for size, number in sizes.items() if low <= size <= high)) for low, high in bins]
    return [
        (str(low) if low == high else f"{low} to {high}" if high < 10**12 else f"{low} or more", number) for low, high, number in counted if number
    ]


def concepts(found: Mapping[str, Any]) -> Html:
    """The most frequent concepts, and how long the lists are."""
    total = sum(found["lists"].values())
    top = tag(
        "div", tag("h3", "Most frequent concepts"), bars([(name, number, count(number)) for name, number in found["top"]], "Concepts"), class_="card"
    )
    numbers = facts(
        {"lists": count(total), "different concepts": count(found["distinct"]), "concepts for each list": f"{found['total'] / total:.1f}"}
    )
    lengths = bars(
        [(f"{length} concepts" if length != 1 else "1 concept", lists, share(lists, total)) for length, lists in list(found["lists"].items())[:20]],
        "Length",
    )
    return tag("div", top, tag("div", tag("h3", "Concepts for each list"), numbers, lengths, class_="card"), class_="pair")


def properties(found: Mapping[str, Mapping[str, Mapping[str, int]]], order: Mapping[str, Sequence[str]]) -> Html:
    """How far instructions of each difficulty and category came."""
    cards = []
    for name, values in found.items():
        known = list(order.get(name, ()))
        rows, lines = [], []
        for value in sorted(values, key=lambda value: (known.index(value) if value in known else len(known), value)):
            counts = values[value]
            stages = [counts.get(stage, 0) for stage in ("instructions", "responses", "executed", "dataset")]
            rows.append((value, *map(count, stages[:3]), share(stages[2], stages[1]), count(stages[3])))
            lines.append((value, stages[3], count(stages[3])))
        headers = (name.capitalize(), "Instructions", "Responses", "Pass", "Pass rate", "Final rows")
        parts = [
            tag("h3", name.capitalize()),
            bars(lines, f"Final rows by {name}") if len(lines) > 1 else "",
            table(headers, rows, range(1, 6), name.capitalize()),
        ]
        cards.append(tag("div", *parts, class_="card"))
    return join(cards)


def lengths(found: Mapping[str, Mapping[int, int]]) -> Html:
    """How long the seeds and the final rows' texts are."""
    cards = []
    for name, counts in found.items():
        total = sum(counts.values())
        lines = [(f"{low} to {2 * low - 1} words" if low > 1 else "1 word", number, share(number, total)) for low, number in counts.items()]
        title = "Length of the seeds" if name == "seed" else f"Length of the final {name}s"
        cards.append(tag("div", tag("h3", title), bars(lines, title), class_="card"))
    return tag("div", *cards, class_="pair")


def origins(found: Sequence[Mapping[str, Any]]) -> Html:
    """Where the seeds come from, and the final rows with them."""
    rows = [(entry["source"], entry["licence"], count(entry["seeds"]), count(entry["rows"])) for entry in found[:50]]
    return tag("div", tag("h3", "Sources and licences"), table(("Source", "Licence", "Seeds", "Final rows"), rows, (2, 3), "Sources"), class_="card")


_TRAINING = {"cpu_seconds": "CPU seconds", "peak_memory_mb": "peak memory, MB"}


def training(found: Mapping[str, Any], losses: Sequence[tuple[int, float, float]]) -> Html:
    """The loss curve with a mark where an epoch begins, and what the training counted. losses: (step, epoch, loss)."""
    numbers = {
        _TRAINING.get(key, key.replace("_", " ")): f"{value:,.4g}" if isinstance(value, float) else count(value)
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in ("kept", "dropped")
    }
    breaks = [step for (_, before, _), (step, epoch, _) in zip(losses, losses[1:], strict=False) if int(epoch) != int(before)]
    drawn = (
        curve([(step, loss) for step, _, loss in losses], "Training loss by optimizer step", "step", breaks)
        if len(losses) > 1
        else note("Too few steps for a curve.")
    )
    return tag("div", drawn, note("Thin: the loss of each step. Thick: its moving mean. Dashed: an epoch begins."), class_="card") + tag(
        "div", facts(numbers), class_="card"
    )


def failures(found: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]], characters: int) -> Html:
    """Problems that each model did not solve, with what it wrote."""
    parts = []
    for (benchmark, which), items in found.items():
        shown = [
            fold(
                join([tag("span", item["verdict"], class_="why-dropped"), item["task_id"]]),
                *([tag("h4", "Detail"), code(item["detail"], "text", characters)] if item.get("detail") else []),
                *_answer(item.get("completion"), characters),
                class_="example",
            )
            for item in items[:_FAILURES]
        ]
        if shown:
            parts.append(tag("div", tag("h3", f"{benchmark}, {which} model"), *shown, class_="card"))
    return join(parts)


def _answer(completion: str | None, characters: int) -> list[Html]:
    """What a model wrote; None is an answer that was not stored."""
    if completion is None:
        return []
    return [tag("h4", "Answer"), code(completion, "python", characters)] if completion.strip() else [note("The model wrote nothing.")]


def costs(cost: Mapping[str, Any]) -> Html:
    """What each rule's jobs took."""
    rows = []
    for rule, used in cost["rules"].items():
        tokens = [count(used.get(key)) for key in ("requests", "prompt_tokens", "computed_tokens", "output_tokens")]
        times = [f"{used.get(key, 0):,.1f}" for key in ("seconds", "cpu_seconds")]
        rows.append((rule, count(used.get("jobs")), *times, count(used.get("peak_memory_mb")), *tokens))
    headers = ("Rule", "Jobs", "Seconds", "CPU seconds", "Peak MB", "Requests", "Prompt tokens", "Computed", "Output")
    top = sorted(cost["rules"].items(), key=lambda item: (-item[1].get("seconds", 0), item[0]))[:8]
    chart = bars([(rule, used.get("seconds", 0), duration(used.get("seconds", 0))) for rule, used in top], "Time by rule", "d1")
    return tag("div", tag("h3", "Where the time went"), chart, class_="card") + tag(
        "div", table(headers, rows, range(1, 9), "Cost by rule"), class_="card"
    )


def generation(found: Mapping[str, Mapping[str, Any]]) -> Html:
    """What each model step took, per row that was kept too."""
    columns = {
        **{"requests": "Requests", "cached_requests": "From cache", "prompt_tokens": "Prompt tokens", "computed_tokens": "Computed"},
        **{"output_tokens": "Output", "tokens_per_row": "Tokens per kept row", "tokens_per_second": "Output tokens/s"},
        **{"gpu_hours": "GPU hours", "cost": "Cost"},
    }
    rows = [(step, *("" if cost.get(key) is None else f"{cost[key]:,}" for key in columns)) for step, cost in found.items()]
    listing = table(("Step", *columns.values()), rows, range(1, len(columns) + 1), "Cost of generation")
    return tag("div", tag("h3", "What generation cost"), listing, note("Tokens per row: computed prompt tokens and output tokens."), class_="card")


def fewshot(found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Html:
    """How many rows of each step saw each example, saw it first, and how many orders there were."""
    rows = []
    for step, counts in found.items():
        orders = [times for order, times in counts["orders"].items() if order != "own"]
        spread = f"{len(orders):,} orders, {min(orders):,} to {max(orders):,} rows each" if orders else ""
        own = f"{counts['orders']['own']:,} rows with a draw of their own" if "own" in counts["orders"] else ""
        shown = sorted(counts["shown"].items(), key=lambda item: int(item[0]))
        examples = ", ".join(f"{example}: {times:,} ({counts['first'].get(example, 0):,})" for example, times in shown)
        rows.append((step, examples or "-", "; ".join(filter(None, (spread, own)))))
    remark = note("Example (by its place among those of the step): rows that saw it (as the first one).")
    return tag(
        "div", tag("h3", "Few-shot examples in use"), table(("Step", "Examples", "Orders"), rows, (), "Few-shot examples"), remark, class_="card"
    )


def surroundings(summary: Mapping[str, Any]) -> Html:
    """Versions, commit, fingerprints, config, and the command that makes the run again."""
    found, config = summary.get("environment", {}), summary["config"]
    state = "" if not found.get("changed") else ", with changes that are in no commit"
    shown = {"model": config["model"]["path"], "selfalign": found.get("selfalign") or "not installed", "machine": found.get("machine", "")}
    shown["git commit"] = f"{found['commit']}{state}" if found.get("commit") else "none: the code is in no repository"
    shown |= {"engine": plain(config.get("engine", {}).get("kind", "")), "seed": plain(config.get("seed", ""))}
    prints = [(rule, tag("span", fingerprint, class_="id")) for rule, several in found.get("fingerprints", {}).items() for fingerprint in several[:4]]
    versions = sorted(found.get("versions", {}).items())
    sources = [(source["name"], source["kind"], source["licence"] or "of each row") for source in summary["licences"]["sources"][:50]]
    listing = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    return join(
        [
            tag("div", facts(shown), tag("h3", "Make this run again"), code(command(summary), "bash", 2000), note(_REPRODUCE), class_="card"),
            tag("div", tag("h3", "Versions"), table(("Package", "Version"), versions, (), "Versions"), class_="card"),
            tag("div", tag("h3", "Fingerprints of model and engine"), table(("Rule", "Fingerprint"), prints, (), "Fingerprints"), class_="card")
            if prints
            else "",
            tag(
                "div",
                tag("h3", "Sources"),
                table(("Source", "Kind", "Licence"), sources, (), "Sources"),
                note("The notices that these licences ask for: ", summary["licences"]["notice"]),
                class_="card",
            ),
            fold("The complete config", code(listing, "yaml", _CONFIG), class_="step"),
        ]
    )


_REPRODUCE = (
    "config.yaml in the results is this run's complete config. With the same versions, model and sources every dataset comes out with "
    "the same bytes; in the folder of this run the command finds nothing to be done."
)


def command(summary: Mapping[str, Any]) -> str:
    """The commands that make the run again."""
    checkout = summary.get("environment", {}).get("commit")
    config = shlex.quote(f"{summary['config'].get('results_dir', 'results').rstrip('/')}/config.yaml")
    return "\n".join([*([f"git checkout {checkout}"] if checkout else []), f".venv/bin/snakemake --configfile {config}"])
