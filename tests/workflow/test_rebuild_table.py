"""The table in the docs: it is this Snakefile's, and real dry runs agree with it, one for each kind of change."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from selfalign.workflow.rebuild import Graphs, page, table

ROOT = Path(__file__).resolve().parents[2]

# Makes the project look as if everything had been made (files without content, recorded by Snakemake itself), then plans after each change.
PLANS = """
import json, os, shutil, sys
from pathlib import Path
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from selfalign.data import source_hash
from selfalign.workflow.plan import parse, plan, snakemake
from selfalign.workflow.rebuild import TARGETS, keys, other_value, with_value, complete_config, SMALL

config = {**SMALL, **json.loads(sys.argv[1])}
targets = [target for target in TARGETS if target != "push"]
line = parse([*targets, "--cores", "1", "--configfile", "now.yaml"])

def use(config):
    Path("now.yaml").write_text(yaml.safe_dump(config))

def needed(dag):
    return sorted({job.rule.name for job in dag.needrun_jobs() if job.output})

def make(dag):
    for job in dag.jobs:
        for path in job.output:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if path.is_directory:
                Path(path).mkdir(exist_ok=True)
            elif path.endswith(".parquet"):
                pq.write_table(pa.table({"id": []}), path)
            else:
                Path(path).write_text("{}")

def file_of(thing):
    if "/" in thing:
        return Path("scripts/selfalign", thing)
    if thing.endswith(".py"):
        return Path("scripts", thing)
    module = Path("scripts", *thing.split("."))
    return module / "__init__.py" if module.is_dir() else module.with_suffix(".py")

use(config)
plan(line, make)
# All of them: Snakemake would leave out, and record nothing of, a job whose files are there and newer than what it reads.
line[1].touch = line[1].forceall = True
assert snakemake(line) == 0
line[1].touch = line[1].forceall = False
print(json.dumps(plan(line, needed)))
schema = dict(keys())
for thing in json.loads(sys.stdin.read()):
    file, text = None, ""
    if thing in schema:
        value = complete_config()
        for name in thing.split("."):
            value = value[name]
        use(with_value(config, thing, other_value(thing, schema[thing], value)))
    elif thing.startswith("few-shot "):
        file = Path("prompts/tiny.yaml")
        text = file.read_text()
        fewshot = yaml.safe_load(text)
        fewshot["system"][thing.split()[1]] += " Changed."
        file.write_text(yaml.safe_dump(fewshot))
    else:
        file = file_of(thing)
        text = file.read_text()
        file.write_text(text + "\\nCHANGED = 1;\\n")
    source_hash._tree.cache_clear()
    print(json.dumps(plan(line, needed)))
    use(config)
    if file:
        file.write_text(text)
"""


@pytest.fixture(scope="module")
def graphs():
    return Graphs()


def plans(project, things, **config):
    done = subprocess.run(
        [sys.executable, "-c", PLANS, json.dumps(config)],
        input=json.dumps(things),
        cwd=project.folder,
        env=project.environment(),
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *others = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "null"))]
    assert first == [], "everything is there"
    return dict(zip(things, others, strict=True))


def test_the_page_is_this_projects(graphs):
    assert (ROOT / "docs" / "rebuild-table.md").read_text() == page(graphs), "run make docs"


def test_every_kind_of_change_plans_what_the_table_says(project, graphs):
    """One thing of each row that holds under the plain small config, none left out."""
    rows = [row for part in table(graphs, others=False).values() for row in part]
    expected = {row.things[-1]: {*row.again, *row.follow} - {"push_dataset"} for row in rows}
    assert len(expected) > 30
    found = {thing: set(rules) for thing, rules in plans(project, list(expected)).items()}
    assert {thing: sorted(rules ^ expected[thing]) for thing, rules in found.items() if rules != expected[thing]} == {}


def test_a_module_of_another_engine_plans_nothing_and_one_of_this_engine_the_model_steps(project):
    engines = ["selfalign.generation.engines.vllm", "selfalign.generation.engines.transformers"]
    found = plans(project, engines, engine={"kind": "vllm"})
    assert "write_responses" in found[engines[0]] and "filter_functions" not in found[engines[0]]
    assert found[engines[1]] == []
