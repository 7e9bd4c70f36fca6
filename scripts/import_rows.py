"""Read rows from elsewhere: the dataset at which the run enters, and the ancestors that they carry inline, in shards by id."""

from pathlib import Path

from selfalign.data.files import remove_stale_shards, write_dropped, write_shard
from selfalign.data.job import Progress, run_script
from selfalign.data.tables import ANCESTORS
from selfalign.exchange.importer import import_rows


def main(smk):
    cfg, entry = smk.params.cfg, smk.params.entry
    results = Path(smk.params.results)
    results.mkdir(parents=True, exist_ok=True)
    shards = len(smk.output.dropped)
    progress = Progress("import: rows")
    facts = {"rows_in": 0, "kept": 0, "dropped": 0}
    made = import_rows(entry, cfg["inputs"], cfg["licences"], shards, str(results), progress.advance)
    for shard, (tables, dropped) in enumerate(made):
        for dataset in (*ANCESTORS[entry], entry):
            write_shard(tables[dataset], smk.output[dataset][shard], dataset)
        write_dropped(dropped, smk.output.dropped[shard])
        facts["kept"] += tables[entry].num_rows
        facts["dropped"] += dropped.num_rows
    if entry != "dataset":
        remove_stale_shards(results, shards)
    facts["rows_in"] = facts["kept"] + facts["dropped"]
    return facts


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
