"""Score the base or the tuned model on one benchmark."""

from selfalign.data.job import run_script, write_json
from selfalign.evaluation.evaluate import evaluate_model


def main(smk):
    which = smk.wildcards.which
    tuned = smk.input.model[0] if which == "tuned" else None
    result, cost = evaluate_model(smk.params.cfg, list(smk.input.data), tuned, smk.params.cache_dir)
    write_json(result, smk.output.scores)
    return {"rows_in": result["problems"], "passed": result["greedy"]["passed"], **cost}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
