"""Which candidates repeat another one's instruction, response or function names."""

from selfalign.data.files import read_shards, write_table
from selfalign.data.job import run_script
from selfalign.selection.dataset import COPIES, find_copies


def main(smk):
    candidates = read_shards(smk.input.candidates)
    copies = find_copies(candidates)
    write_table(copies, smk.output.copies, COPIES)
    return {"rows_in": candidates.num_rows, "copies": copies.num_rows}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
