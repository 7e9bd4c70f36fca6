"""A small finished run as files: one or two rows for each dataset, and what each step dropped."""

import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfalign.data.files import to_dropped, to_table, write_dropped, write_shard
from selfalign.data.tables import SCHEMAS, STEP_OF
from selfalign.dedup.clusters import CLUSTERS
from selfalign.report.collect import collect
from selfalign.report.render import render
from selfalign.report.summary import summarize

CFG = {
    "judge": {"draws": 1},
    "concepts": {"draws": 2},
    "instructions": {"draws": 1},
    "responses": {"draws": 2},
    "model": {"path": "models/tiny"},
    "prices": {"gpu_hour": 0, "prompt_tokens": 1.0, "output_tokens": 2.0},
    "sources": [{"name": "library", "kind": "stdlib", "licence": "PSF-2.0"}],
    "results_dir": "results",
}
TEXTS = {
    "content": "def double(x):\n    return 2 * x",
    "instruction": "Double <a> number & return it.",
    "response": "[Tests] assert x < 2",
    "detail": "",
}


def row(dataset, number):
    """A row of `dataset` whose id is `number`."""
    values = {}
    for field in SCHEMAS[dataset]:
        kind = str(field.type)
        value = {"string": TEXTS.get(field.name, f"{number:016x}"), "int32": 1, "double": 0.5}.get(kind, ["lists", "sums"])
        values[field.name] = value
    return values


class Run(SimpleNamespace):
    """The run's folder, and the files of each kind as the workflow hands them over."""

    def put(self, dataset, kept, dropped=(), shard="0"):
        """Write a shard with rows of these ids; `dropped` are (id, parent_id, reason, detail)."""
        name = "train" if dataset == "dataset" else shard
        step = STEP_OF[dataset]
        rows = [{"id": id, "parent_id": parent, "step": step, "reason": reason, "detail": detail} for id, parent, reason, detail in dropped]
        write_shard(to_table([row(dataset, number) for number in kept], dataset), self.folder / dataset / f"{name}.parquet", dataset)
        write_dropped(to_dropped(rows), self.folder / "dropped" / dataset / f"{name}.parquet")

    def cluster_file(self, part):
        """Where a near-dedup pass leaves the clusters of a shard."""
        path = self.folder / "dedup" / part / "clusters" / "0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    @staticmethod
    def clusters_table(rows):
        """Clusters of these (id, representative, size)."""
        return pa.table([list(column) for column in zip(*rows, strict=True)], schema=CLUSTERS)

    @property
    def kept(self):
        return [str(path) for dataset in STEP_OF for path in sorted((self.folder / dataset).glob("*.parquet"))]

    @property
    def dropped(self):
        return [str(path) for dataset in STEP_OF for path in sorted((self.folder / "dropped" / dataset).glob("*.parquet"))]


def score(passed, problems):
    return {"passed": passed, "score": passed / problems, "interval": [0.1, 0.9]}


@pytest.fixture
def run(tmp_path):
    run = Run(folder=tmp_path, cfg=CFG)
    run.put("extracted", [1, 2], [("a", "", "no_docstring", "")])
    run.put("functions", [1, 2])
    run.put("seeds", [1], [("0000000000000002", "0000000000000002", "judged_no", "score -1.2")])
    run.put("concepts", [1, 2])
    run.put("instructions", [1], [("b", "0000000000000002", "length_stop", "")])
    run.put("responses", [1, 2])
    run.put("executed", [1], [("0000000000000002", "0000000000000001", "assertion_failed", "assert double(2) == 5")])
    run.put("candidates", [1])
    run.put("dataset", [1])
    run.stats = []
    for number, step in enumerate([*STEP_OF.values(), "train_model"]):
        facts = {"rule": step, "shard": "0", "seconds": 1.5, "cpu_seconds": 1.0, "peak_memory_mb": 100 + number}
        facts |= {"output_tokens": 7, "finish": {"stop": 3}, "fingerprint": "f00d"}
        path = tmp_path / "stats" / f"{step}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(facts))
        run.stats.append(str(path))
    run.loss = str(tmp_path / "loss.csv")
    (tmp_path / "loss.csv").write_text("step,epoch,loss\n1,0,2.5\n2,0,1.5\n3,1,1.25\n")
    run.evaluation = []
    for which, passed in (("base", 3), ("tuned", 5)):
        path = tmp_path / f"miniature.{which}.json"
        item = {"task_id": "Miniature/1", "verdict": "assertion_failed", "detail": "assert f(1) == <2>", "completion": "return 3"}
        path.write_text(json.dumps({"problems": 10, "form": "chat", "greedy": score(passed, 10), "mean": None, "items": [item]}))
        run.evaluation.append(str(path))
    return run


@pytest.fixture
def summary(run):
    return summarize(run.cfg, run.kept, run.dropped, run.stats, run.loss, run.evaluation, "results/NOTICE.txt")


@pytest.fixture
def summary_file(summary, tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(summary))
    return str(path)


@pytest.fixture
def page(run, summary_file):
    """The report of the run, its functions being near-duplicates."""
    pq.write_table(run.clusters_table([(f"{1:016x}", f"{1:016x}", 2), (f"{2:016x}", f"{1:016x}", 2)]), run.cluster_file("functions"))
    return render(collect(summary_file, run.kept, run.dropped, [run.cluster_file("functions")], [], run.loss, run.evaluation))
