"""Fine-tune the base model on the final dataset."""

from selfalign.data.files import read_shard
from selfalign.data.job import run_script, write_json
from selfalign.training.card import write_card
from selfalign.training.model import weights_digest
from selfalign.training.trainer import copy_model, train_model


def main(smk):
    cfg = smk.params.cfg
    rows = read_shard(smk.input.dataset)
    trained = train_model(rows, cfg, smk.params.cache_dir)
    copy_model(trained, smk.output.model, smk.output.loss, finish=lambda folder: write_card(folder, cfg, trained.facts))
    write_json({"sha256": weights_digest({"path": smk.output.model})}, smk.output.weights)
    return {**trained.facts, "kept": trained.facts["trained"], "dropped": trained.facts["skipped"]}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
