"""Compare training on passing, random and failing responses, at equal size."""

from selfalign.data.files import read_shards
from selfalign.data.job import run_script, write_json
from selfalign.evaluation.ablation import ablate, make_pool
from selfalign.selection.decontamination import Decontamination, load_benchmark


def main(smk):
    cfg = smk.params.cfg
    responses = read_shards(smk.input.responses)
    executed, dropped = read_shards(smk.input.executed, ["id", "verdict"]), read_shards(smk.input.dropped, ["id", "reason"])
    verdicts = {row["id"]: row["verdict"] for row in executed.to_pylist()} | {row["id"]: row["reason"] for row in dropped.to_pylist()}
    problems = Decontamination(map(load_benchmark, smk.input.benchmarks), cfg["decontamination"]["ngram"])
    pool = make_pool(read_shards(smk.input.instructions), responses, verdicts, problems)
    result = ablate(pool, cfg, smk.params.data, smk.params.cache_dir)
    write_json(result, smk.output.ablation)
    return {"rows_in": responses.num_rows, "trainings": len(result["runs"])}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
