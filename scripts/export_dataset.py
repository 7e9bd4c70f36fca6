"""One dataset of the run as a Hugging Face dataset repository: data, card, notice."""

import json
import shutil
from pathlib import Path

from selfalign.data.job import run_script
from selfalign.exchange.card import card
from selfalign.exchange.export import NEEDS, export_data, fingerprint


def main(smk):
    cfg, dataset, folder = smk.params.cfg, smk.wildcards.dataset, Path(smk.output.repository)
    prompts = json.loads(Path(smk.input.prompts[0]).read_text(encoding="utf-8")) if smk.input.prompts else None
    ancestors = [dict(zip(NEEDS[dataset], files, strict=True)) for files in zip(*(smk.input[name] for name in NEEDS[dataset]), strict=True)]
    own = list(smk.input.rows)
    shards = [(own[0] if len(own) == 1 else own[at], files) for at, files in enumerate(ancestors)] or [(path, {}) for path in own]
    facts = export_data(dataset, shards, folder, prompts, fingerprint(cfg, prompts) if prompts else None, whole=dataset == "dataset")
    (folder / "README.md").write_text(card(dataset, cfg, facts, smk.input.dropped), encoding="utf-8")
    shutil.copyfile(smk.input.notice, folder / "NOTICE.txt")
    return {"rows_in": facts.rows, "kept": facts.rows, "dropped": 0}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
