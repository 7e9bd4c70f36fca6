"""Push one exported dataset to the Hugging Face hub."""

from selfalign.data.job import run_script, say, write_json
from selfalign.exchange.card import repository
from selfalign.exchange.push import push_dataset


def main(smk):
    hub = smk.params.cfg["hub"]
    address = push_dataset(smk.input.repository, repository(hub, smk.wildcards.dataset), hub["private"])
    write_json({"commit": address}, smk.output.pushed)
    say(f"pushed: {address}")


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
