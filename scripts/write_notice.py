"""Write the notices that go with datasets and model."""

from pathlib import Path

from selfalign.data.job import run_script
from selfalign.data.notice import notice


def main(smk):
    Path(smk.output.notice).write_text(notice(smk.params.cfg["sources"]), encoding="utf-8")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
