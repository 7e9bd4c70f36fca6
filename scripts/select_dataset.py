"""The final dataset, from the candidates of all shards."""

from selfalign.data.errors import InputError
from selfalign.data.files import concat_dropped, read_shard, read_shards, write_dropped, write_shard
from selfalign.data.job import run_script
from selfalign.selection.dataset import explain_empty, select_dataset


def main(smk):
    cfg = smk.params.cfg
    tables = {name: read_shards(smk.input[name]) for name in ("seeds", "concepts", "instructions", "candidates")}
    clusters = [read_shards(smk.input[part]) for part in smk.params.parts]
    copies = read_shard(smk.input.copies)
    dataset, dropped = select_dataset(**tables, copies=copies, clusters=clusters, cfg=cfg["selection"], seed=cfg["seed"])
    if not dataset.num_rows:
        earlier = concat_dropped([*map(read_shard, smk.input.get("dropped", ())), dropped])
        raise InputError(explain_empty({name: table.num_rows for name, table in tables.items()}, earlier))
    write_shard(dataset, smk.output.dataset, "dataset")
    write_dropped(dropped, smk.output.dropped)
    return {"rows_in": tables["candidates"].num_rows, "kept": dataset.num_rows, "dropped": dropped.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
