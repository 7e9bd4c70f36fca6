"""The job of a model step: what its four scripts have in common."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfalign.data.files import read_shard, write_dropped, write_shard
from selfalign.data.job import Progress
from selfalign.generation.engines import open_engine


def run_step(smk: Any, step: Callable, source: str, dataset: str) -> dict:
    """Run `step` on the shard smk.input[source], write its two tables, and return the job's facts with what its completions cost."""
    cfg = smk.params.cfg
    rows = read_shard(smk.input[source])
    prompts = json.loads(Path(smk.input.prompts).read_text(encoding="utf-8"))
    asked = rows.num_rows * cfg[prompts["step"]]["draws"]
    engine = open_engine(cfg["model"], cfg["engine"], smk.params.cache_dir)
    try:
        kept, dropped = step(rows, prompts, engine, cfg, Progress(f"{smk.rule} {smk.wildcards.s}", asked).advance)
    finally:
        engine.close()
    write_shard(kept, smk.output[dataset], dataset)
    write_dropped(dropped, smk.output.dropped)
    return {"rows_in": rows.num_rows, "asked": asked, "kept": kept.num_rows, "dropped": dropped.num_rows, **asdict(engine.usage)}
