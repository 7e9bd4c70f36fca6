"""One well-formed, clean response per instruction of one shard."""

from selfalign.data.files import read_shard, write_dropped, write_shard
from selfalign.data.job import Progress, run_script
from selfalign.execution import execute
from selfalign.selection.candidates import choose_responses
from selfalign.selection.decontamination import Decontamination, load_benchmark


def main(smk):
    cfg = smk.params.cfg
    executed = read_shard(smk.input.executed)
    benchmarks = Decontamination(map(load_benchmark, smk.input.benchmarks), cfg["decontamination"]["ngram"])
    kept, dropped = choose_responses(executed, read_shard(smk.input.instructions), benchmarks, cfg["seed"], cross_execution(smk))
    write_shard(kept, smk.output.candidates, "candidates")
    write_dropped(dropped, smk.output.dropped)
    return {"rows_in": executed.num_rows, "kept": kept.num_rows, "dropped": dropped.num_rows}


def cross_execution(smk):
    """What runs one response's code against another's tests, for the policy `consensus`; None for `random`.

    Without negative control: each test block has passed it with its own implementation.
    """
    if smk.params.cfg["selection"]["policy"] != "consensus":
        return None
    cfg = {**smk.params.cfg["execution"], "negative_control": False}

    def run(programs):
        return execute(programs, cfg, Progress(f"choose responses {smk.wildcards.s}: cross-execution", len(programs)), smk.params.cache_dir)

    return run


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
