# The checked config, and what rules say about files and params. No step's logic is here.

import gc
import os
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from selfalign.data.config import ADDRESSES, HUB, Compared, entry_of, hub_environment, is_local_model, load_config, pick
from selfalign.data.errors import ConfigError, InputError
from selfalign.data.files import remove_temporary_files
from selfalign.data.notice import notice_beside
from selfalign.data.prune import prune
from selfalign.data.slurm import cancel_leftover_jobs
from selfalign.data.source_hash import source_hashes
from selfalign.data.tables import ANCESTORS, STEP_OF, steps_from
from selfalign.evaluation.rows import data_files
from selfalign.exchange.export import NEEDS, PROMPTED
from selfalign.exchange.reader import input_files
from selfalign.generation.fewshot import load_fewshot
from selfalign.sources.watch import files_digest
from selfalign.workflow.board import Board
from selfalign.workflow.outputs import is_alone
from selfalign.workflow.terminal import Quiet, end_on_hangup, ending, failing, say_ending

# A graph of thousands of jobs stays in memory; to search it for garbage at every turn took a fifth of the time of planning.
gc.set_threshold(1_000_000, 50, 50)

try:
    CONFIG = load_config(config)
except ConfigError as error:
    sys.exit(f"config: {error}")  # one line; a WorkflowError would add a traceback

# For the jobs, on this machine and on others: each begins with this file.
os.environ.update(hub_environment(CONFIG["hub"]))

RESULTS = CONFIG["results_dir"].rstrip("/")
CACHE = Path(CONFIG["cache_dir"])  # Snakemake does not compare paths among the params: where the caches lie changes no row
ENTRY = entry_of(CONFIG)  # the dataset at which the run enters with rows from elsewhere, None if it begins at its sources
IMPORTED = (*ANCESTORS[ENTRY], ENTRY) if ENTRY else ()
MADE = tuple(steps_from(ENTRY))  # datasets of the run, in order; each has its dropped rows
SHARDED = tuple(dataset for dataset in STEP_OF if dataset != "dataset" and dataset in {*IMPORTED, *MADE})
STEPS = ("judge", "concepts", "instructions", "responses")
ENGINES = {"transformers": ["transformers"], "vllm": ["vllm"], "openai": ["openai", "served"]}  # the modules of each kind
# Jobs that share the bands of a near-dedup pass. Each reads every shard, so few: files times jobs is what planning takes.
LINK_GROUPS = min(4, -(-CONFIG["shards"] // 16))
PARTS = ("instruction", "response", "code")  # of a candidate: one near-dedup pass each, in this order


def extra_name(address):
    """A name for a benchmark that only decontamination sees: its address without kind, owner and suffix."""
    path = address.removeprefix(f"{HUB}datasets/").removeprefix("https://").partition("/")[2] if address.startswith(ADDRESSES) else address
    return "-".join(Path(path).with_suffix("").parts).strip("-")


# Benchmarks by name: files here, or files that fetch_benchmark makes of an address on the hub.
BENCHMARKS = {benchmark["name"]: benchmark for benchmark in CONFIG["evaluation"]["benchmarks"]}
EVALUATED = {name: benchmark["data"] for name, benchmark in BENCHMARKS.items()}
EXTRA = {extra_name(address): address for address in CONFIG["decontamination"]["extra"]}
FETCHED = {name: address for name, address in {**EVALUATED, **EXTRA}.items() if address.startswith(ADDRESSES)}


EXPORTED = tuple(dataset for dataset in NEEDS if dataset in MADE and dataset != ENTRY)


wildcard_constraints:
    s=r"\d+",
    dataset="|".join(NEEDS),
    g=r"\d+",
    step="|".join(STEPS),
    part="|".join(PARTS),
    benchmark=r"[A-Za-z0-9_-]+",
    which="base|tuned",


def shards(folder):
    """All shards of a dataset, or of another folder with one file per shard."""
    return [f"{RESULTS}/{folder}/{s}.parquet" for s in range(CONFIG["shards"])]


def dataset_files(dataset):
    """All files of a dataset."""
    return [f"{RESULTS}/dataset/train.parquet"] if dataset == "dataset" else shards(dataset)


def dropped_files(dataset):
    """All files of what was dropped on the way to a dataset."""
    return [f"{RESULTS}/dropped/dataset/train.parquet"] if dataset == "dataset" else shards(f"dropped/{dataset}")


def ancestor_files(dataset, name):
    """The shards of a dataset's ancestors of one kind, if its export joins them."""
    return shards(name) if name in NEEDS[dataset] else []


def dropped_since_parent(dataset):
    """What was dropped between a dataset and the one that it was made from; candidates are not exported."""
    between = ["candidates"] if dataset == "dataset" and "candidates" in MADE else []
    return [path for name in (*between, dataset) for path in dropped_files(name)]


def prompts_of(dataset):
    """The few-shot draws behind a dataset's rows, if this run made them."""
    step = PROMPTED.get(dataset)
    return [f"{RESULTS}/prompts/{step}.json"] if step in MADE and step != ENTRY else []


def export_cfg(dataset):
    """What the export of a dataset depends on."""
    steps = [PROMPTED[dataset]] if prompts_of(dataset) else []
    return cfg("hub", "inputs", "model", "engine.kind", "engine.dtype", "seed", *steps)


def ablation_file(_):
    """The comparison, where the run has responses to compare."""
    if ENTRY in ("executed", "dataset"):
        sys.exit(f"config: inputs.{ENTRY}: the ablation needs responses that fail their tests; enter at responses, or before")
    return f"{RESULTS}/ablation.json"


def imported_files():
    """The local files that a run enters with."""
    return [str(path) for path in input_files(CONFIG["inputs"][ENTRY])]


def imported_notice():
    """The notice that came with them, if there is one."""
    path = notice_beside(CONFIG["inputs"][ENTRY]) if ENTRY else None
    return [str(path)] if path else []


def benchmark_files(*names):
    """The local files of benchmarks."""
    files = []
    for name in names:
        try:
            local = data_files({**EXTRA, **EVALUATED}[name], BENCHMARKS.get(name, {}).get("release", 0))
        except InputError as error:
            sys.exit(f"config: {error}")
        files += [f"{RESULTS}/fetched/{name}.jsonl"] if name in FETCHED else local
    return files


def fetched_from(wildcards):
    """Where a benchmark is fetched from, as evaluation.fetch takes it."""
    benchmark = BENCHMARKS.get(wildcards.benchmark, {})
    return {"address": FETCHED[wildcards.benchmark], **{key: benchmark[key] for key in ("sha256", "release") if key in benchmark}}


def link_files(part):
    """All link files of a near-dedup pass."""
    return [f"{RESULTS}/dedup/{part}/links/{g}.parquet" for g in range(LINK_GROUPS)]


def compares_texts(section):
    """Whether the near-dedup in this section of the config compares the texts of what it found."""
    return CONFIG[section]["near_dedup"]["verify"] == "jaccard"


def evaluations():
    """All results of the evaluation."""
    return [f"{RESULTS}/evaluation/{name}.{which}.json" for name in EVALUATED for which in ("base", "tuned")]


def cfg(*keys):
    """These keys of the config as one dict: Snakemake compares params as a set, without their names."""
    return Compared(pick(CONFIG, *keys))


def sources(rule):
    """Hashes of a script and of the modules behind it, so that a change of code reruns what it affects. Only one engine is behind it.

    A function of wildcards: a job on a cluster, whose Snakemake knows one job, does not hash the modules of all rules.
    """
    others = [f"selfalign.generation.engines.{name}" for kind, names in ENGINES.items() if kind != CONFIG["engine"]["kind"] for name in names]
    hashes = cache(lambda: source_hashes(Path(workflow.basedir) / "scripts" / f"{rule}.py", without=others))
    return lambda wildcards: hashes()


def examples_of(step):
    """Keys of a step that its few-shot draws depend on."""
    return f"{step}.examples", f"{step}.prefixes"


def fewshot_part(step):
    """What a step takes from the few-shot file: other steps' examples, comments and the order of YAML keys do not matter."""
    try:
        fewshot = load_fewshot(CONFIG["fewshot"])
    except InputError as error:
        sys.exit(f"config: {error}")
    return repr((fewshot.system[step], fewshot.serving(step)))


def model_files():
    """What determines the base model's output, if it is a folder here; a model on the hub is in the params by name."""
    folder = Path(CONFIG["model"]["path"])
    if not is_local_model(str(folder)):
        return []
    kinds = {".json", ".safetensors", ".bin", ".model", ".jinja", ".txt"}
    return sorted(str(path) for path in folder.iterdir() if path.suffix in kinds)


def source_files():
    """A digest of the local files of each source by its name."""
    return {f"files of {source['name']}": files_digest(source) for source in CONFIG["sources"]}


def source_versions():
    """Versions of what the sources take from this machine: Python for its library, packages by name."""
    versions = {}
    for source in CONFIG["sources"]:
        if source["kind"] == "stdlib":
            versions["python"] = platform.python_version()
        for package in source["packages"] if source["kind"] == "packages" else ():
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                sys.exit(f"config: sources: the package {package} is not installed")
    return versions


def evaluation_cfg(wildcards):
    """What the evaluation of one benchmark depends on: other benchmarks in the config do not matter."""
    part = pick(CONFIG, "model", "engine", "execution", "evaluation", "seed")
    benchmarks = [benchmark for benchmark in CONFIG["evaluation"]["benchmarks"] if benchmark["name"] == wildcards.benchmark]
    return Compared({**part, "evaluation": {**part["evaluation"], "benchmarks": benchmarks}})


def run_jobs():
    """The jobs of a run by rule, as the names of their stats files, but for the optional ablation and export."""
    jobs = {"import_rows": ["all"]} if ENTRY else {"extract_functions": ["all"]}
    if "functions" in MADE and ENTRY != "functions":
        jobs |= {rule: range(CONFIG["shards"]) for rule in ("sign_functions", "band_functions")}
        jobs |= {"link_functions": range(LINK_GROUPS), "cluster_functions": ["all"]}
    for dataset, step in steps_from(ENTRY).items():
        if dataset not in (ENTRY, "extracted", "dataset"):
            jobs[step] = range(CONFIG["shards"])
    prompted = [step for step in STEPS if STEP_OF[{"judge": "seeds"}.get(step, step)] in jobs]
    jobs |= {"draw_prompts": prompted} if prompted else {}
    if "candidates" in MADE:
        jobs |= {rule: range(CONFIG["shards"]) for rule in ("sign_candidates", "band_candidates")}
        jobs |= {"link_candidates": [f"{part}.{g}" for part in PARTS for g in range(LINK_GROUPS)], "cluster_candidates": PARTS}
        jobs |= {"match_candidates": ["all"], "select_dataset": ["all"]}
    jobs |= {"train_model": ["all"], "evaluate_model": [f"{name}.{which}" for name in EVALUATED for which in ("base", "tuned")]}
    return jobs


def run_stats():
    """The facts of every job of a run."""
    return [f"{RESULTS}/stats/{rule}/{part}.json" for rule, parts in run_jobs().items() for part in parts]


def cluster_files():
    """The near-duplicate clusters of every pass of a run."""
    passes = [*(["functions"] if "cluster_functions" in run_jobs() else []), *run_jobs().get("cluster_candidates", ())]
    return [path for part in passes for path in shards(f"dedup/{part}/clusters")]
