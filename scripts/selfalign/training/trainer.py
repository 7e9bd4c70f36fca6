"""Fine-tuning of the base model on the final dataset: one plain loop, checkpoints, and a cache of finished models.

A training lives in `<cache_dir>/training/<key>/`, where the key is of everything that determines the weights (rows, settings, base
weights, code, versions): `checkpoint.pt` while it runs, `model/`, `loss.csv` and `facts.json` when it is done.
"""

import csv
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
import transformers

from selfalign.data.errors import TrainingError
from selfalign.data.ids import row_seed
from selfalign.data.job import Progress, say, write_json
from selfalign.data.source_hash import source_hashes
from selfalign.training.examples import Example, Examples, epoch_batches, pack, tokenize_rows
from selfalign.training.loss import TokenLosses, token_weights
from selfalign.training.model import add_lora, load_model, load_tokenizer, weights_digest
from selfalign.training.optimizer import make_optimizer, rate_factor
from selfalign.training.processes import ALONE, Processes, launch, micro_batches, part_for, shard, total, whole

LOSS_COLUMNS = ("step", "epoch", "loss", "learning_rate", "tokens")  # tokens: seen so far, prompts included
JOB = "job.json"  # in a training's folder, for its processes: rows, config, label
_CURE = "lower training.learning_rate or set training.dtype to float32"
_SPEED_ONLY = ("save_steps",)  # settings that do not change the weights


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder holds `model/` and `loss.csv`; `facts` has rows, steps, tokens, losses."""

    folder: Path
    facts: dict[str, Any]

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def losses(self) -> Path:
        return self.folder / "loss.csv"


def train_model(rows: pa.Table, cfg: dict, cache_dir: str | os.PathLike, label: str = "train_model") -> Trained:
    """Fine-tune cfg["model"] on `rows` (id, instruction, response) with cfg["training"] and cfg["seed"].

    A training that was killed goes on from its last checkpoint; one that was done before is taken from the cache. TrainingError
    if there is nothing to train on or the loss is no number any more.
    """
    if not rows.num_rows:
        raise TrainingError("there is no row to train on: the final dataset is empty; results/dropped/ says at which step the rows went")
    texts = rows.select(["id", "instruction", "response"]).to_pylist()
    work = Path(cache_dir) / "training" / training_key(texts, cfg)
    with _locked(work):
        if not (work / "facts.json").exists():
            if cfg["training"]["processes"] > 1:
                (work / JOB).write_text(json.dumps([texts, cfg, label]), encoding="utf-8")
                launch(work, cfg["training"], label)
            else:
                fine_tune(texts, cfg, work, label)
        else:
            say(f"{label}: the same training was done before; its model is in the cache")
    return Trained(work, json.loads((work / "facts.json").read_text(encoding="utf-8")))


def training_key(rows: list[dict], cfg: dict) -> str:
    """A hash of everything that determines the weights. Row order and where the base model lies are not part of it."""
    sha = hashlib.sha256()
    settings = {name: value for name, value in cfg["training"].items() if name not in _SPEED_ONLY}
    code = {name: value for name, value in source_hashes(Path(__file__)).items() if not name.startswith("selfalign.data")}
    parts = [settings, cfg["seed"], weights_digest(cfg["model"]), code, torch.__version__, transformers.__version__]
    parts += [[row["id"], row["instruction"], row["response"]] for row in sorted(rows, key=lambda row: row["id"])]
    for part in parts:
        sha.update(json.dumps(part, sort_keys=True).encode() + b"\n")
    return sha.hexdigest()[:16]


def copy_model(trained: Trained, model: str | os.PathLike, losses: str | os.PathLike, finish: Callable[[Path], None] | None = None) -> None:
    """Put the finished model folder at `model` and the loss table at `losses`; the folder appears whole or not at all.

    `finish` gets the folder before that, to put more files into it.
    """
    model, losses = Path(model), Path(losses)
    temporary = model.with_name(f".{model.name}.{os.getpid()}.tmp")
    model.parent.mkdir(parents=True, exist_ok=True)
    losses.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(trained.losses, losses)
    try:
        shutil.copytree(trained.model, temporary, copy_function=shutil.copyfile)  # without modes: safetensors lets only its owner read
        if finish is not None:
            finish(temporary)
        if model.exists():
            shutil.rmtree(model)
        os.replace(temporary, model)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fine_tune(rows: list[dict], cfg: dict, work: Path, label: str, processes: Processes = ALONE) -> None:
    """Train, and leave `model/`, `loss.csv` and at last `facts.json` in `work`. All `processes` do this together; the first one writes."""
    settings = cfg["training"]
    tokenizer = load_tokenizer(cfg["model"])
    data = tokenize_rows(rows, tokenizer, settings["max_length"])
    if not data.examples:
        raise TrainingError(f"none of {len(rows)} rows leaves room for a response in training.max_length {settings['max_length']}; raise it")
    if settings["device"].startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError("training.device is cuda, and torch sees no GPU here; set it to cpu or run on a machine with one")
    with _threads(settings["threads"]):
        model, adapted = _load(cfg, settings["device"])
        if settings["gradient_checkpointing"]:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        loss = TokenLosses(model)
        if processes.count > 1:
            shard(model, loss, processes)
        counts = _parameters(model)
        losses = _fit(loss, data, settings, cfg["seed"], work / "checkpoint.pt", label, processes)
        if processes.count > 1:
            weights = whole(model.state_dict(), processes)
            if processes.rank:
                return
            model, adapted = _load(cfg, "cpu")
            model.load_state_dict(weights)
    _write_losses(losses, work / "loss.csv")
    _write_model(model if adapted is None else adapted.merge_and_unload(), tokenizer, work / "model")
    facts = {
        "rows_in": len(rows),
        "trained": len(data.examples),
        "skipped": data.skipped,
        "truncated": data.truncated,
        "tokens": sum(len(example.tokens) for example in data.examples),
        "response_tokens": sum(example.targets for example in data.examples),
        "steps": len(losses),
        "epochs": settings["epochs"],
        "first_loss": losses[0]["loss"],
        "last_loss": losses[-1]["loss"],
        **counts,
    }
    write_json(facts, work / "facts.json")  # written last: its presence says that the folder is complete
    (work / "checkpoint.pt").unlink(missing_ok=True)
    (work / JOB).unlink(missing_ok=True)


def _load(cfg: dict, device: str) -> tuple[Any, Any]:
    """The base model, and with training.lora peft's model around it, else None."""
    settings = cfg["training"]
    model = load_model(cfg["model"], settings["dtype"], settings["dropout"], device)
    return model, add_lora(model, settings["lora"], cfg["seed"]) if settings["lora"]["rank"] else None


def _parameters(model: Any) -> dict[str, int]:
    """How many numbers the model has, and how many of them are learned."""
    named = list(model.named_parameters())
    return {
        "parameters": sum(parameter.numel() for name, parameter in named if ".lora_" not in name),
        "learned_parameters": sum(parameter.numel() for _, parameter in named if parameter.requires_grad),
    }


def _fit(
    loss: TokenLosses, data: Examples, settings: dict, seed: int, checkpoint: Path, label: str, processes: Processes = ALONE
) -> list[dict]:
    """The loop. Changes the model of `loss` in place and returns the rows of the loss table, one per optimizer step."""
    model = loss.model
    optimizer = make_optimizer([parameter for parameter in model.parameters() if parameter.requires_grad], settings)
    steps = settings["epochs"] * math.ceil(len(data.examples) / settings["batch_size"])
    losses = _restore(checkpoint, model, optimizer) if checkpoint.exists() else []
    done = len(losses)
    if done:
        _say(f"{label}: going on after step {done} of {steps}", processes)
    progress = Progress(label, total=steps - done) if processes.rank == 0 else None
    step = 0
    for epoch in range(settings["epochs"]):
        for batch in epoch_batches(len(data.examples), settings["batch_size"], seed, epoch):
            step += 1
            if step <= done:
                continue
            rate = settings["learning_rate"] * rate_factor(step - 1, steps, settings)
            # A seed per step instead of one for the run: what dropout draws then does not depend on an earlier kill.
            torch.manual_seed(row_seed(seed, f"step {step}" + (f" process {processes.rank}" if processes.rank else ""), "dropout"))
            value = step_on([data.examples[place] for place in batch], loss, optimizer, rate, settings, processes)
            if not math.isfinite(value):
                raise TrainingError(f"the loss became {value} in step {step} of {steps}; {_CURE}")
            tokens = sum(len(data.examples[place].tokens) for place in batch)
            seen = (losses[-1]["tokens"] if losses else 0) + tokens
            losses.append({"step": step, "epoch": epoch + 1, "loss": round(value, 6), "learning_rate": rate, "tokens": seen})
            if step % settings["save_steps"] == 0 and step < steps:
                _save(checkpoint, model, optimizer, losses, processes)
            if progress is not None:
                progress.advance(1, tokens=tokens)
        if step > done:
            own = [row["loss"] for row in losses if row["epoch"] == epoch + 1]
            _say(f"{label}: epoch {epoch + 1} of {settings['epochs']}, mean loss {sum(own) / len(own):.4f}", processes)
    for name, parameter in model.named_parameters():
        own = parameter.to_local() if hasattr(parameter, "to_local") else parameter
        if total(float(not torch.isfinite(own).all()), processes):
            raise TrainingError(f"weights {name} are no numbers after the last step; {_CURE}")
    return losses


def step_on(
    batch: Sequence[Example], loss: TokenLosses, optimizer: torch.optim.Optimizer, rate: float, settings: dict, processes: Processes = ALONE
) -> float:
    """One optimizer step on `batch`, in micro batches whose gradients add up. Returns the loss of the batch before the step."""
    value = 0.0
    optimizer.zero_grad(set_to_none=True)
    for micro in micro_batches(batch, settings["micro_batch"], processes):
        # Every process has to take part in every pass: where its share has ended, with an example that counts nothing.
        losses = loss(pack(micro or batch[:1]), settings["loss_chunk"])
        weights = token_weights(batch, micro, settings["loss"]) if micro else torch.zeros(len(losses))
        own = (losses * weights.to(losses.device)).sum()
        (own * processes.count).backward()  # between processes gradients are averaged
        value += own.item()
    value = total(value, processes)
    if settings["max_grad_norm"] > 0:
        torch.nn.utils.clip_grad_norm_(loss.parameters(), settings["max_grad_norm"])
    for group in optimizer.param_groups:
        group["lr"] = rate
    if math.isfinite(value):
        optimizer.step()
    return value


def _save(path: Path, model: Any, optimizer: torch.optim.Optimizer, losses: list[dict], processes: Processes) -> None:
    state = whole({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}, processes)
    if processes.rank == 0:
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)


def _restore(path: Path, model: Any, optimizer: torch.optim.Optimizer) -> list[dict]:
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(part_for(tensor, saved["model"][name]))
    # Not by load_state_dict, which casts statistics to the weights' type: with bfloat16 weights they are float32 and have to stay so.
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, parameter in enumerate(parameters):
        for name, value in saved["optimizer"]["state"].get(place, {}).items():
            if torch.is_tensor(value) and name != "step":
                value = part_for(parameter, value) if value.shape == parameter.shape else value.to(parameter.device)
            optimizer.state[parameter][name] = value.clone() if torch.is_tensor(value) else value
    return saved["losses"]


def _write_model(model: Any, tokenizer: Any, folder: Path) -> None:
    temporary = folder.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def _say(line: str, processes: Processes) -> None:
    if processes.rank == 0:
        say(line)


def _write_losses(losses: list[dict], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, LOSS_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(losses)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """One process at a time in this folder: a training that outlived its workflow is waited for, not trampled on."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
