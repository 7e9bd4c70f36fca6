"""The real workflow on a real Slurm: the same bytes as on this machine, whatever happens to its jobs."""

import json
import os
import signal
import subprocess

import pytest

DATASETS = ("extracted", "functions", "seeds", "concepts", "instructions", "responses", "executed", "candidates", "dataset", "dropped")
MODEL_STEPS = ("judge_seeds", "extract_concepts", "write_instructions", "write_responses")


@pytest.fixture(scope="module")
def runs(cluster, new_project):
    """Three runs that share the cluster, started together: an undisturbed one, one with all sorts of trouble, one over its time limit."""
    runs = {name: new_project(name) for name in ("calm", "trouble", "late")}
    # What a site sets. The node with GPUs for two of the runs, since the other node goes down in the third.
    for name in ("calm", "late"):
        runs[name].edit("profiles/slurm/config.yaml", """# slurm_partition: "'cpu'\"""", """slurm_partition: "'gpu'\"""")
    engine = "judge_seeds: &engine\n    lane: 1\n"
    runs["calm"].edit("profiles/slurm/config.yaml", engine, f"{engine}    slurm_partition: gpu\n    gpu: 1\n")
    # Too little memory for the first attempt of one step.
    little = "  filter_functions: {mem_mb: 150 if attempt == 1 else 3000}\n"
    runs["trouble"].edit("profiles/slurm/config.yaml", "set-resources:\n", f"set-resources:\n{little}")
    started = {
        "late": runs["late"].start("results/extracted/0.parquet"),
        "trouble": runs["trouble"].start("executed", way="--profile"),
        "calm": runs["calm"].start("datasets"),
    }
    yield {name: (project, started[name]) for name, project in runs.items()}
    for run in started.values():
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def local(runs, new_project):
    """The datasets of the same run without Slurm."""
    project = new_project("local")
    project.snakemake("datasets")
    return project.files(*DATASETS)


def test_job_over_its_time_limit_is_killed(runs):
    project, run = runs["late"]
    job = project.wait_for_job("rule_extract_functions", run)
    assert job["limit"] == "30:00"
    subprocess.run(["scontrol", "update", f"JobId={job['id']}", "TimeLimit=1"], check=True)
    project.stop_processes(job)
    # Slurm looks at time limits now and then; the other tests go on meanwhile, and the last one sees how this ends.


def test_trouble_in_every_step(cluster, runs):
    project, run = runs["trouble"]
    cancelled = project.wait_for_job("rule_sign", run)
    subprocess.run(["scancel", cancelled["id"]], check=True)

    project.wait_for_job("rule_filter", run, state="FAILED")
    assert project.wait_for_job("rule_filter", run)["memory"] == "3000M", "the step that ran out of memory has more of it"

    lost = project.wait_for_job("rule_generate", run)
    subprocess.run(["scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=test"], check=True)
    assert lost["id"] not in [job["id"] for job in project.jobs(states=("RUNNING",))]
    subprocess.run(["scontrol", "update", "NodeName=n1", "State=RESUME"], check=True)

    left = project.wait_for_job("rule_execute", run)
    project.stop_processes(left)  # a job of seconds would be done before Snakemake is back
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert left["id"] in [job["id"] for job in project.jobs(states=("RUNNING",))], "Slurm knows nothing of the kill: the job goes on"
    project.snakemake("--unlock")
    project.finish(project.start("executed", way="--profile"))
    assert "of a run that was killed are still in Slurm; they are cancelled" in project.output
    assert left["id"] in [job["id"] for job in project.jobs(states=("CANCELLED",))]


def test_run_with_trouble_is_byte_identical_to_the_local_run(runs, local):
    project, _ = runs["trouble"]
    made = project.files(*DATASETS)
    assert made.items() <= local.items()
    assert {"executed/0.parquet", "executed/1.parquet"} <= made.keys()


def test_run_on_slurm_is_byte_identical_to_the_local_run(runs, local):
    project, run = runs["calm"]
    project.finish(run)
    assert "dataset/train.parquet" in local
    assert project.files(*DATASETS) == local


def test_short_steps_share_slurm_jobs(runs):
    project, _ = runs["calm"]
    comments = [job["comment"] for job in project.jobs(states=("COMPLETED",))]
    assert comments.count("rule_generate_extract_concepts_judge_seeds_write_instructions_write_responses") == 2, "a job per shard"
    assert len(comments) == 10, f"one job for all shards of every other step, not {comments}"


def test_engines_that_run_at_the_same_time_have_a_gpu_each(runs):
    project, _ = runs["calm"]
    assert [job["partition"] for job in project.jobs("rule_generate")] == ["gpu", "gpu"]
    for step in MODEL_STEPS:
        stats = [json.loads((project.folder / "results" / "stats" / step / f"{s}.json").read_text()) for s in (0, 1)]
        assert sorted(fact for facts in stats for fact in facts["gpus"]) == ["0", "1"], step


def test_late_job_ended_well_on_its_second_attempt(runs, local):
    project, run = runs["late"]
    project.finish(run)
    first, second = project.jobs("rule_extract_functions")
    assert (first["state"], second["state"]) == ("TIMEOUT", "COMPLETED")
    assert second["limit"] == "1:00:00"
    assert project.files("extracted") == {path: content for path, content in local.items() if path.startswith("extracted/")}
