"""Where does a row come from, and what became of it? The whole history of one row, out of a run's files."""

import json
import re
from pathlib import Path
from typing import Any

from selfalign.data.errors import InputError
from selfalign.data.tables import REASONS, STEP_OF
from selfalign.exchange.prompts import Prompts
from selfalign.report.rows import Files

_ID = re.compile(r"[0-9a-f]{16}")
_FUNCTIONS = ("seeds", "functions", "extracted")  # the last one that has a function knows most about it
_STEPS = ("judge", "concepts", "instructions", "responses")
_LISTED = 20  # rows that a message names


class Run:
    """The files of a run, and what can be looked up in them."""

    def __init__(self, results: str):
        self.results = Path(results)
        if not self.results.is_dir():
            raise InputError(f"{results}: no such folder; name the results of a run with --results")
        self.kept = {dataset: Files(self.results / dataset) for dataset in STEP_OF}
        self.dropped = {dataset: Files(self.results / "dropped" / dataset) for dataset in STEP_OF}
        self.clusters = Files(self.results / "dedup" / "functions" / "clusters")
        if not any(self.kept.values()) and not any(self.dropped.values()):
            raise InputError(f"{results}: no dataset of a run in it; name the results of a run with --results")

    def dropped_rows(self, identifier: str, function: str | None) -> list[dict[str, Any]]:
        """What was dropped under this id: a function's copies, or the row itself at whatever step."""
        shards = [dataset for dataset in STEP_OF if dataset != "dataset"]
        rows = [row for dataset in shards for row in self.dropped[dataset].find("id", identifier, function)]
        return rows + self.dropped["dataset"].find("id", identifier)

    def prompt(self, step: str, row: dict[str, Any], parent: dict[str, Any]) -> str | None:
        """The prompt behind a row, None for an imported one."""
        path = self.results / "prompts" / f"{step}.json"
        if row.get("prefix", 0) is None or not path.is_file():
            return None
        return Prompts(json.loads(path.read_text(encoding="utf-8"))).of(row, parent)

    def policy(self) -> str:
        """How a response is chosen among those that passed, if the run has been summarized."""
        path = self.results / "summary.json"
        return json.loads(path.read_text(encoding="utf-8"))["config"]["selection"]["policy"] if path.is_file() else ""


def trace(results: str, identifier: str) -> dict[str, Any]:
    """The history of the row `identifier` (ours, or the foreign id of an imported one) as a JSON object.

    id, kind (function, concepts, instruction, response or file), and as far as they are there: function, concepts, instruction, responses, final,
    stands_for (rows of the final dataset's copies and near-duplicates), descendants, dropped, prompts. InputError if no row has the id.
    """
    run = Run(results)
    if not _ID.fullmatch(identifier):
        identifier = _own_id(run, identifier)
    start = _find(run, identifier)
    history: dict[str, Any] = {"id": identifier, "kind": start["kind"]}
    history["dropped"] = [_explained(row) for row in run.dropped_rows(identifier, start["function"])]
    prompts: dict[str, str | None] = {}
    function, concepts, instruction = None, start.get("concepts"), start.get("instruction")
    if instruction:
        concepts = run.kept["concepts"].row(instruction["concepts_id"], start["function"])
    if start["function"]:
        function = _function(run, start["function"], history)
    if function and function.get("judge"):
        prompts["judge"] = run.prompt("judge", function, function)
    if concepts:
        history["concepts"] = concepts
        prompts["concepts"] = run.prompt("concepts", concepts, function) if function else None
    if instruction:
        history["instruction"] = instruction
        prompts["instructions"] = run.prompt("instructions", instruction, concepts) if concepts else None
        history["responses"] = _responses(run, instruction, start["function"])
        if any(response["sample"] is not None for response in history["responses"]):
            own = next((row for row in history["responses"] if row["id"] == identifier), history["responses"][0])
            prompts["responses"] = run.prompt("responses", own, instruction)
        _final(run, history)
    elif start["function"]:
        history["descendants"] = _descendants(run, start)
    history["prompts"] = {step: prompts[step] for step in _STEPS if prompts.get(step)}
    return history


def _own_id(run: Run, foreign: str) -> str:
    """Our id of the row that was imported with this foreign id."""
    found: list[str] = []
    for dataset in ("dataset", "executed", "responses", "instructions", "concepts", "seeds", "functions"):
        found = sorted({row["id"] for row in run.kept[dataset].find("source_id", foreign, columns=["id"])})
        if found:
            break
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise InputError(f"{foreign}: {len(found)} rows come from it; trace one of them: {', '.join(found[:_LISTED])}{more}")
    raise InputError(f"{foreign}: neither an id of this project (16 of the digits 0-9 and a-f) nor the foreign id of an imported row")


def _find(run: Run, identifier: str) -> dict[str, Any]:
    """kind, function (id, None where it is lost), and the row's instruction or concepts. Cheapest first: final rows, functions, then all shards."""
    if row := run.kept["dataset"].row(identifier):
        return {
            "kind": "response",
            "function": row["function_id"],
            "instruction": run.kept["instructions"].row(row["instruction_id"], row["function_id"]),
        }
    for dataset in _FUNCTIONS:
        if run.kept[dataset].row(identifier, identifier):
            return {"kind": "function", "function": identifier}
    for row in run.dropped["dataset"].find("id", identifier):
        if instruction := run.kept["instructions"].row(row["parent_id"]):
            return {"kind": "response", "function": instruction["function_id"], "instruction": instruction}
    for dataset in ("responses", "executed"):
        if row := run.kept[dataset].row(identifier):
            instruction = run.kept["instructions"].row(row["instruction_id"], row["function_id"])
            return {"kind": "response", "function": row["function_id"], "instruction": instruction}
    if row := run.kept["instructions"].row(identifier):
        return {"kind": "instruction", "function": row["function_id"], "instruction": row}
    if row := run.kept["concepts"].row(identifier):
        return {"kind": "concepts", "function": row["function_id"], "concepts": row}
    return _find_dropped(run, identifier)


def _find_dropped(run: Run, identifier: str) -> dict[str, Any]:
    """The same for a row that no dataset has."""
    parents = {"responses": ("response", "instructions", "instruction"), "executed": ("response", "instructions", "instruction")}
    parents |= {"instructions": ("instruction", "concepts", "concepts"), "concepts": ("concepts", "seeds", "")}
    for dataset, (kind, parent_dataset, name) in parents.items():
        for row in run.dropped[dataset].find("id", identifier):
            parent = run.kept[parent_dataset].row(row["parent_id"])
            if parent is None:  # a bad row of a file that was imported
                return {"kind": kind, "function": None}
            return {"kind": kind, "function": parent.get("function_id", parent["id"]), **({name: parent} if name else {})}
    for dataset in ("extracted", "functions", "seeds"):
        if rows := run.dropped[dataset].find("id", identifier):
            whole = rows[0]["reason"] in ("unreadable_file", "not_utf8", "licence", "unreadable_row")
            return {"kind": "file or row of a source" if whole else "function", "function": None if whole else identifier}
    if run.dropped["dataset"].find("id", identifier):
        return {"kind": "response", "function": None}
    raise InputError(f"{identifier}: no row of {run.results} has this id, kept or dropped; another run's results are named with --results")


def _explained(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "meaning": REASONS.get(row["step"], {}).get(row["reason"], "")}


def _function(run: Run, identifier: str, history: dict[str, Any]) -> dict[str, Any] | None:
    """The function that everything began with, with its copies and the near-duplicates for which it stands."""
    row = next((row for dataset in _FUNCTIONS if (row := run.kept[dataset].row(identifier, identifier))), None)
    if row is None:
        return None
    copies = [item["detail"] for item in run.dropped["extracted"].find("id", identifier, identifier) if item["reason"] == "duplicate"]
    similar = [item["id"] for item in run.clusters.find("representative", identifier, columns=["id"]) if item["id"] != identifier]
    history["function"] = {**row, "copies": copies, "near_duplicates": similar}
    return row


def _responses(run: Run, instruction: dict[str, Any], function: str) -> list[dict[str, Any]]:
    """Every response to an instruction that was sampled, in order of sample: text (null where none is kept), verdict, and what became of it."""
    key = instruction["id"]
    rows = run.kept["responses"].find("instruction_id", key, function)
    executed = {row["id"]: row for row in run.kept["executed"].find("instruction_id", key, function)}
    found = {row["id"]: {**row, "verdict": None, "fate": "not executed yet"} for row in rows or executed.values()}
    for row in executed.values():
        found[row["id"]] |= {"verdict": row["verdict"], "detail": row["detail"], "fate": "passed; not chosen yet"}
    chosen = run.kept["candidates"].find("instruction_id", key, function, ["id"])
    dropped = [row for dataset in ("responses", "executed", "candidates") for row in run.dropped[dataset].find("parent_id", key, function)]
    choices = len(chosen) + sum(row["reason"] == "not_chosen" for row in dropped)
    for row in chosen:
        found[row["id"]]["fate"] = _why_chosen(run, choices)
    for row in dropped:
        empty = {"id": row["id"], "sample": None, "response": None, "verdict": None}
        response = found.setdefault(row["id"], empty)
        if row["step"] == STEP_OF["executed"]:
            response |= {"verdict": row["reason"], "detail": row["detail"]}
        response["fate"] = _fate(row)
    return sorted(found.values(), key=lambda row: (row["sample"] is None, row["sample"] or 0, row["id"]))


def _why_chosen(run: Run, choices: int) -> str:
    if choices == 1:
        return "chosen: the only one that passed and is well formed"
    policy = run.policy()
    how = {"": "", "random": ", drawn by chance (selection.policy: random)"}.get(policy, f" (selection.policy: {policy})")
    return f"chosen among {choices} that passed and are well formed{how}"


def _fate(row: dict[str, Any]) -> str:
    meaning = REASONS.get(row["step"], {}).get(row["reason"], "")
    detail = f" [{row['detail']}]" if row["detail"] else ""
    return f"dropped by {row['step']}: {row['reason']} ({meaning}){detail}"


def _final(run: Run, history: dict[str, Any]) -> None:
    """What the final dataset has of the instruction's responses, and for which rows that one stands."""
    identifiers = [response["id"] for response in history["responses"]]
    for row in run.dropped["dataset"].find("id", identifiers):
        next(response for response in history["responses"] if response["id"] == row["id"])["fate"] += f"; then {_fate(row)}"
    row = next(iter(run.kept["dataset"].find("id", identifiers)), None)
    if row is None:
        return
    history["final"] = row
    history["stands_for"] = []
    level = [row["id"]] if row["cluster_size"] > 1 else []
    while level:  # a row that went in favour of one that later went itself
        found = run.dropped["dataset"].find("detail", level)
        history["stands_for"] += found
        level = [item["id"] for item in found]


def _descendants(run: Run, start: dict[str, Any]) -> dict[str, Any]:
    """What was made from a function or its concepts: next rows, those dropped there, and the final rows that came of them."""
    function = start["function"]
    if concepts := start.get("concepts"):
        made = run.kept["instructions"].find("concepts_id", concepts["id"], function)
        lost = run.dropped["instructions"].find("parent_id", concepts["id"], function)
    else:
        made = run.kept["concepts"].find("seed_id", function, function)
        lost = run.dropped["concepts"].find("parent_id", function, function)
    final = run.kept["dataset"].find("function_id", function, columns=["id", "instruction_id"])
    if concepts:
        own = {row["id"] for row in made}
        final = [row for row in final if row["instruction_id"] in own]
    return {"made": made, "dropped": [_explained(row) for row in lost], "final": [row["id"] for row in final]}
