"""Jobs that ask for a GPU, without Slurm: as many at a time as there are, each on its own. No GPU is needed, only names of some."""

SCRIPT = """
import os
import time
from pathlib import Path

from selfalign.data.job import run_script


def main(smk):
    Path(f"gpus-{smk.wildcards.s}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    end = time.monotonic() + 120
    while len(list(Path().glob("gpus-*"))) < 2 and time.monotonic() < end:  # both at the same time
        time.sleep(0.1)
    Path(f"both-{smk.wildcards.s}").write_text(str(len(list(Path().glob("gpus-*")))))


if __name__ == "__main__":
    run_script(main, snakemake)
"""


def test_two_shards_run_at_once_on_two_gpus(filtered, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    filtered.config["engine"] = {"device": "cuda"}
    filtered.write_config()
    (filtered.folder / "scripts" / "judge_seeds.py").write_text(SCRIPT)
    # It makes no seeds; where it ran is all that matters.
    filtered.snakemake("results/seeds/0.parquet", "results/seeds/1.parquet", "--keep-going", ok=False)
    assert sorted((filtered.folder / f"gpus-{s}").read_text() for s in (0, 1)) == ["3", "5"]
    assert [(filtered.folder / f"both-{s}").read_text() for s in (0, 1)] == ["2", "2"]
