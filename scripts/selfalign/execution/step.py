"""The step: responses in, those that pass their own tests out, the others dropped with their verdict as reason."""

from typing import Any

import pyarrow as pa

from selfalign.data.files import to_dropped, to_table
from selfalign.execution.dispatch import execute
from selfalign.execution.programs import Verdict, program_of


def execute_responses(responses: pa.Table, cfg: dict[str, Any], progress: Any = None, cache_dir: str | None = None) -> tuple[pa.Table, pa.Table]:
    """(kept, dropped) of a table of responses. cfg: the config's `execution`, complete."""
    rows = responses.to_pylist()
    judged = [program_of(row["id"], row["response"]) for row in rows]
    verdicts = {item.id: item for item in judged if isinstance(item, Verdict)}
    if progress is not None:
        progress.advance(len(verdicts))
    programs = [item for item in judged if not isinstance(item, Verdict)]
    verdicts |= {verdict.id: verdict for verdict in execute(programs, cfg, progress, cache_dir)}
    kept, dropped = [], []
    for row in rows:
        verdict = verdicts[row["id"]]
        if verdict.verdict == "passed":
            names = ("id", "function_id", "instruction_id", "sample", "response")
            kept.append({**{name: row[name] for name in names}, "verdict": verdict.verdict, "detail": verdict.detail})
        else:
            reason = {"step": "execute_responses", "reason": verdict.verdict, "detail": verdict.detail}
            dropped.append({"id": row["id"], "parent_id": row["instruction_id"], **reason})
    return to_table(kept, "executed"), to_dropped(dropped)
