"""Summarize the run: counts, reasons, costs, scores; the tuned model's card gets its scores."""

from selfalign.data.job import run_script, say, write_json, write_text
from selfalign.exchange.card import repository
from selfalign.report.scores import score_table
from selfalign.report.summary import config_text, summarize
from selfalign.training.card import complete_card


def main(smk):
    files = smk.input
    summary = summarize(smk.params.cfg, files.kept, files.dropped, files.stats, files.loss, files.evaluation, files.notice)
    write_json(summary, smk.output.summary)
    write_text(config_text(summary["config"]), smk.output.config)
    complete_card(smk.input.model, files.evaluation, repository(smk.params.cfg["hub"], "dataset"))
    say(f"final dataset: {summary['final_rows']:,} rows")
    say(score_table(summary["evaluation"]))


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
