"""Run each response's implementation and tests in a sandbox; keep what passes."""

from selfalign.data.files import failed_rows, read_shard, write_dropped, write_shard
from selfalign.data.job import Progress, run_script
from selfalign.execution.step import execute_responses


def main(smk):
    responses = read_shard(smk.input.responses)
    progress = Progress(f"execute responses {smk.wildcards.s}", responses.num_rows)
    kept, dropped = execute_responses(responses, smk.params.cfg["execution"], progress, smk.params.cache_dir)
    write_shard(kept, smk.output.executed, "executed")
    write_dropped(dropped, smk.output.dropped)
    return {"rows_in": responses.num_rows, "kept": kept.num_rows, "dropped": dropped.num_rows, "failed": failed_rows(dropped)}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
