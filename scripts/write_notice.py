"""Write the notices that go with datasets and model."""

from selfalign.data.job import run_script, write_text
from selfalign.data.notice import notice


def main(smk):
    write_text(notice(smk.params.cfg["sources"]), smk.output.notice)


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
