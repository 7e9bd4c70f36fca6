import logging
import signal
import subprocess

import pytest

from selfalign.workflow.terminal import Quiet, ending, failing, last_line

NOISE = ("Select jobs", "Execute 1 jobs", "Building DAG", "Finished jobid", "jobid:", "Provided cores", "Elapsed time", "job count")


def shown(message, level=logging.INFO, active=True, **facts):
    record = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    vars(record).update(facts)
    return Quiet(lambda: active).filter(record)


def test_bookkeeping_is_left_out_and_everything_else_stays():
    assert not shown("Select jobs to execute...")
    assert not shown("rule x:", event="job_info")
    assert not shown("1 of 2 steps", event="progress")
    assert shown("Nothing to be done (all requested files are present and up to date).")
    assert shown("Error in rule x", logging.ERROR, event="job_error")
    assert shown("Select jobs to execute...", logging.WARNING)
    assert shown("something new", event="unheard_of")
    assert not shown("WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR), "the last line says what to do"


def test_dry_run_and_jobs_elsewhere_show_all():
    assert shown("rule x:", active=False, event="job_info") and shown("Select jobs to execute...", active=False)


def test_dry_run_shows_the_plan_and_a_run_ends_with_rows_time_places_and_the_next_command(project):
    project.config["sources"] = [{**project.config["sources"][0], "limit": 20}]
    project.write_config()
    output = project.snakemake("--dry-run", "results/prompts/judge.json")
    assert "job count" in " ".join(output.split()) and "Drawing few-shot examples for judge" in output
    output = project.snakemake("results/extracted/0.parquet", "results/prompts/judge.json")
    assert not [line for line in output.splitlines() if line.startswith(NOISE)], output
    assert "draw_prompts judge: done" in output
    (row,) = [line.split() for line in output.splitlines() if line.startswith("extract_functions  ")]
    assert int(row[2].replace(",", "")) == 20
    assert output.rstrip().splitlines()[-1].startswith("next")
    assert "Nothing to be done" in project.snakemake("results/prompts/judge.json")


def test_failed_job_is_named_with_its_log_its_last_line_and_what_to_do(project):
    (project.folder / "code").mkdir()
    project.config["sources"] = [{"name": "code", "kind": "folder", "path": "code", "licence": "MIT"}]
    project.write_config()
    lines = project.snakemake("results/extracted/0.parquet", ok=False).rstrip().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("extract_functions failed: extract_functions: "))
    assert lines[at + 1].strip() == "log: results/logs/extract_functions/all.log"
    assert "the same command goes on from here" in lines[-1] == lines[at + 2]


def test_terminal_that_is_closed_leaves_no_lock(project):
    command = project.command("results/prompts/judge.json", "results/extracted/0.parquet")
    with subprocess.Popen(command, cwd=project.folder, env=project.environment(), text=True, stderr=subprocess.PIPE) as process:
        next(line for line in process.stderr if "draw_prompts judge: done" in line)
        assert list((project.folder / ".snakemake" / "locks").iterdir())
        process.send_signal(signal.SIGHUP)
    assert not list((project.folder / ".snakemake").glob("locks/*"))


def test_killed_job_has_an_empty_log_and_advice(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("")
    text = f"[Mon]\nError in rule judge_seeds:\n    jobid: 3\n    output: x\n    log: {log} (check log file(s) for error details)\n"
    (tmp_path / "run.log").write_text(text)
    assert f"judge_seeds failed: {last_line(log)}\n    log: {log}" in failing([tmp_path / "run.log"])
    assert "memory" in last_line(log) and "memory" in last_line(tmp_path / "missing.log")


@pytest.mark.parametrize("word", ["judge 0: 1,200/2,000, 1.7/s, 12 s, 8 s left, tokens 4 (2/s)", "judge_seeds 0: at work, 60 s", "judge 0: 1, 0 s"])
def test_killed_job_that_was_at_work_is_told_from_one_with_an_error(tmp_path, word):
    log = tmp_path / "job.log"
    log.write_text(f"{word}\n")
    assert f"last at {word}; if it was killed, memory may have run out" in last_line(log)
    log.write_text(f"{word}\njudge_seeds 0: no server at 10.0.0.1: 3 attempts, 12 s each\n")
    assert last_line(log) == "judge_seeds 0: no server at 10.0.0.1: 3 attempts, 12 s each"


def test_ending_of_a_finished_run_names_the_report_and_the_model(tmp_path):
    for path in ("stats/judge_seeds", "model", "dataset"):
        (tmp_path / path).mkdir(parents=True)
    for shard in (0, 1):
        (tmp_path / "stats" / "judge_seeds" / f"{shard}.json").write_text('{"rows_in": 1000, "kept": 600, "dropped": 400, "seconds": 30}')
    for file in ("report.html", "summary.json", "dataset/train.parquet"):
        (tmp_path / file).write_text("")
    text = ending(str(tmp_path))
    assert "judge_seeds                2,000       1,200         800      60 s" in text
    assert "asks for them again" not in text
    (tmp_path / "stats" / "judge_seeds" / "1.json").write_text('{"rows_in": 1000, "kept": 600, "dropped": 400, "seconds": 30, "failed": 7}')
    assert "7 rows had no answer" in ending(str(tmp_path)) and "selfalign run" in ending(str(tmp_path))
    assert f"open {tmp_path}/report.html" in text and "selfalign respond" in text
