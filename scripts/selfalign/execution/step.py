"""The step: responses in, those that pass their own tests out, the others dropped with their verdict as reason."""

from typing import Any

import pyarrow as pa

from selfalign.data.files import to_dropped, to_table
from selfalign.execution.dispatch import judged
from selfalign.execution.programs import program_of


def execute_responses(responses: pa.Table, cfg: dict[str, Any], progress: Any = None, cache_dir: str | None = None) -> tuple[pa.Table, pa.Table]:
    """(kept, dropped) of a table of responses. cfg: the config's `execution`, complete."""
    rows = responses.to_pylist()
    items = (program_of(row["id"], row["response"]) for row in rows)
    kept, dropped = [], []
    for row, verdict in zip(rows, judged(items, cfg, progress, cache_dir), strict=True):
        if verdict.verdict == "passed":
            names = ("id", "function_id", "instruction_id", "sample", "response")
            kept.append({**{name: row[name] for name in names}, "verdict": verdict.verdict, "detail": verdict.detail})
        else:
            reason = {"step": "execute_responses", "reason": verdict.verdict, "detail": verdict.detail}
            dropped.append({"id": row["id"], "parent_id": row["instruction_id"], **reason})
    return to_table(kept, "executed"), to_dropped(dropped)
