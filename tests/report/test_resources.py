"""`selfalign resources`: what jobs asked for and what they used, from a run's files."""

import json

import pytest

from selfalign.cli import main
from selfalign.report.resources import measure

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def results(tmp_path):
    def job(rule, shard, line, facts=None):
        for kind, text in (("benchmarks", HEADER + line), ("stats", json.dumps(facts or {}))):
            path = tmp_path / kind / rule / f"{shard}.{'tsv' if kind == 'benchmarks' else 'json'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "benchmarks" or facts:
                path.write_text(text)

    asked = {"threads": 2, "mem_mb": 1000, "runtime": 10, "disk_mb": 100}
    job("sign", 0, "60\t0:01:00\t700.5\t1\t1\t1\t0\t5\t90\t30\n", {"seconds": 58, "cpu_seconds": 90, "peak_memory_mb": 650, "requested": asked})
    job("sign", 1, "1\t0:00:01\tNA\t1\t1\t1\tNA\tNA\t0\t0\n", {"seconds": 1, "cpu_seconds": 1, "peak_memory_mb": 1200, "requested": asked})
    job("report", "all", "2\t0:00:02\t90\t1\t1\t1\t0\t1\t50\t1\n")
    return tmp_path


def test_largest_of_each_and_of_both_measurements(results):
    report, sign = measure(str(results))
    assert (sign["jobs"], sign["mem_mb"], sign["peak"], sign["written"]) == (2, 1000, 1200, 5)
    assert sign["minutes"] == 1 and sign["cores"] == pytest.approx(1.5)
    assert report["mem_mb"] is None and report["peak"] == 90


def test_use_above_what_was_asked_for_is_marked(results, capsys):
    assert main(["resources", str(results)]) == 0
    head, report, sign = capsys.readouterr().out.splitlines()
    assert "1,200!" in sign and "5!" not in sign
    assert "!" not in report


def test_folder_without_a_run_is_one_line(tmp_path, capsys):
    assert main(["resources", str(tmp_path)]) == 1
    assert "no benchmark files" in capsys.readouterr().err
