"""Jobs of a killed run: with Slurm itself in tests/slurm; here, what a machine without it does."""

from selfalign.data.slurm import cancel_leftover_jobs


def test_without_slurm_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cancel_leftover_jobs(tmp_path) == []


def test_commands_without_a_cluster_stop_nothing(monkeypatch, tmp_path):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cancel_leftover_jobs(tmp_path) == []
