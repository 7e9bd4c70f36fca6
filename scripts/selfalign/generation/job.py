"""The job of a model step: what its four scripts have in common."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from selfalign.data.files import failed_rows, read_shard, write_dropped, write_shard
from selfalign.data.job import Progress, read_json
from selfalign.generation.draws import count_usage
from selfalign.generation.engines import open_engine


def run_step(smk: Any, step: Callable, source: str, dataset: str) -> dict:
    """Run `step` on the shard smk.input[source], write its two tables, and return the job's facts with what its completions cost."""
    cfg = smk.params.cfg
    rows = read_shard(smk.input[source])
    prompts = read_json(smk.input.prompts)
    asked = rows.num_rows * cfg[prompts["step"]]["draws"]
    start = time.monotonic()
    engine = open_engine(cfg["model"], cfg["engine"], smk.params.cache_dir)
    try:
        kept, dropped = step(rows, prompts, engine, cfg, Progress(f"{smk.rule} {smk.wildcards.s}", asked).advance)
    finally:
        engine.close()
    seconds = time.monotonic() - start
    write_shard(kept, smk.output[dataset], dataset)
    write_dropped(dropped, smk.output.dropped)
    counts = {"rows_in": rows.num_rows, "asked": asked, "kept": kept.num_rows, "dropped": dropped.num_rows, "failed": failed_rows(dropped)}
    # The loading of the model, and parsing between completions, are part of what an engine's GPU is held for.
    times = {"engine_seconds": round(seconds, 3), "gpu_hours": round(seconds * engine.gpus / 3600, 6)}
    return {**counts, "fingerprint": engine.fingerprint, **asdict(engine.usage), **times, "fewshot": count_usage(prompts, engine.prefixes)}
