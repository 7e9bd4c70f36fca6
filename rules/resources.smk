# What a job asks for: memory, time and disk as functions of its input and of the attempt. The numbers are measured, with room to spare:
# `selfalign resources RESULTS` prints what a run asked for beside what it used. A cluster's profile can override each of them.

import pyarrow.parquet as pq
from pyarrow import ArrowInvalid

from selfalign.data.gpus import visible_gpus

# Snakemake's own processes in a job of a cluster: two of them, each with the whole workflow in memory.
JOB_MB = 600
# Output tokens per minute of one engine that a job can count on: 500 a second, a fraction of what a 15B model does on a current GPU.
TOKENS_PER_MINUTE = 30_000


def existing(path):
    """`path`, or the nearest file of its shard that an earlier dataset has: in a plan, and in a group of jobs, inputs are yet to be made."""
    folder, _, name = str(path).rpartition("/")
    dataset = folder.rpartition("/")[2]
    for earlier in reversed(SHARDED[: SHARDED.index(dataset) + 1] if dataset in SHARDED else [dataset]):
        if os.path.exists(found := f"{folder.rpartition('/')[0]}/{earlier}/{name}"):
            return found
    return None


def megabytes(input):
    """Size of a job's input."""
    files = filter(None, (existing(path) for path in input))
    return sum(os.path.getsize(path) for path in files if os.path.isfile(path)) / 1e6


def rows(path):
    """Rows of a parquet file, or of the nearest one before it; 0 in a plan without any."""
    found = existing(path)
    try:
        return pq.read_metadata(found).num_rows if found else 0
    except (ArrowInvalid, OSError):
        return 0  # damaged: the job that reads it says so, with the way out


def memory(base, per_mb=0):
    """mem_mb: what the job needs with an empty input, and for each MB of it (compressed, as it lies on disk); more with each attempt."""
    return lambda wildcards, input, attempt: int((JOB_MB + base + per_mb * megabytes(input)) * attempt)


def minutes(base, per_mb=0):
    """runtime, likewise."""
    return lambda wildcards, input, attempt: int((base + per_mb * megabytes(input)) * attempt)


def disk(base, per_mb=2):
    """disk_mb: outputs and temporary files."""
    return lambda wildcards, input: int(base + per_mb * megabytes(input))


# The base model's files, if they are here: they are held in memory, at most in a number type four times as wide (bfloat16 to float64).
MODEL_MB = sum(os.path.getsize(path) for path in model_files() if path.endswith((".safetensors", ".bin"))) / 1e6


def engine_memory(base):
    """mem_mb of a job that runs the engine. For a model on the hub, whose size nobody knows here, the profile says it."""
    return lambda wildcards, input, attempt: int((JOB_MB + base + 4 * MODEL_MB + 20 * megabytes(input)) * attempt)


def engine_minutes(step, rows_in):
    """runtime of a model step: time to load the model, and half of the longest completion for every row that is asked for."""
    part = CONFIG[step]

    def runtime(wildcards, input, attempt):
        tokens = rows(input[rows_in]) * part["draws"] * (part["max_new_tokens"] / 2 + 100)
        return int((15 + tokens / TOKENS_PER_MINUTE) * attempt)

    return runtime


def training_memory(base):
    """mem_mb of a training: weights, gradients and two moments in float32 (of bfloat16 files: eight times their size).

    With several processes libraries for each, and the whole model in all of them while it is loaded.
    """
    count = CONFIG["training"]["processes"]
    models = max(8, count + 2)
    return lambda wildcards, input, attempt: int((JOB_MB + base * count + models * MODEL_MB + 20 * megabytes(input)) * attempt)


def training_minutes(wildcards, input, attempt):
    """runtime of a training: an hour, and 2 seconds for every example of every epoch."""
    return int((60 + rows(input.dataset) * CONFIG["training"]["epochs"] / 30) * attempt)


# GPUs of a job that runs the engine, and of one that trains.
ENGINE_GPUS = {"vllm": CONFIG["engine"]["tensor_parallel"], "openai": 0}.get(
    CONFIG["engine"]["kind"], int(CONFIG["engine"]["device"].startswith("cuda"))
)
TRAINING_GPUS = CONFIG["training"]["processes"] if CONFIG["training"]["device"].startswith("cuda") else 0


# Each job of a cluster has GPUs of its own, so they are not counted over all of them ...
resource_scopes:
    gpu="local",


# ... and on this machine as many jobs run at once as there are GPUs for. Jobs pick theirs themselves (selfalign.data.gpus).
if ENGINE_GPUS + TRAINING_GPUS and workflow.is_main_process and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", max(len(visible_gpus()), ENGINE_GPUS, TRAINING_GPUS))
