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
from collections.abc import Callable, Iterator
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
from selfalign.training.examples import Examples, epoch_batches, pack, tokenize_rows
from selfalign.training.loss import token_losses, token_weights
from selfalign.training.model import add_lora, load_model, load_tokenizer, weights_digest
from selfalign.training.optimizer import make_optimizer, rate_factor

LOSS_COLUMNS = ("step", "epoch", "loss", "learning_rate", "tokens")  # tokens: seen so far, prompts included
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
            _train(texts, cfg, work, label)
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


def _train(rows: list[dict], cfg: dict, work: Path, label: str) -> None:
    settings = cfg["training"]
    tokenizer = load_tokenizer(cfg["model"])
    data = tokenize_rows(rows, tokenizer, settings["max_length"])
    if not data.examples:
        raise TrainingError(f"none of {len(rows)} rows leaves room for a response in training.max_length {settings['max_length']}; raise it")
    if settings["device"].startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError("training.device is cuda, and torch sees no GPU here; set it to cpu or run on a machine with one")
    with _threads(settings["threads"]):
        model = load_model(cfg["model"], settings["dtype"], settings["dropout"], settings["device"])
        adapted = add_lora(model, settings["lora"], cfg["seed"]) if settings["lora"]["rank"] else None
        if settings["gradient_checkpointing"]:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        learned = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        losses = _fit(model, data, settings, cfg["seed"], work / "checkpoint.pt", label)
    _write_losses(losses, work / "loss.csv")
    temporary = work / "model.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    if adapted is not None:
        model = adapted.merge_and_unload()
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    shutil.rmtree(work / "model", ignore_errors=True)
    os.replace(temporary, work / "model")
    tokens = sum(len(example.tokens) for example in data.examples)
    facts = {
        "rows_in": len(rows),
        "trained": len(data.examples),
        "skipped": data.skipped,
        "truncated": data.truncated,
        "tokens": tokens,
        "response_tokens": sum(example.targets for example in data.examples),
        "steps": len(losses),
        "epochs": settings["epochs"],
        "first_loss": losses[0]["loss"],
        "last_loss": losses[-1]["loss"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "learned_parameters": learned,
    }
    write_json(facts, work / "facts.json")  # written last: its presence says that the folder is complete
    (work / "checkpoint.pt").unlink(missing_ok=True)


def _fit(model: Any, data: Examples, settings: dict, seed: int, checkpoint: Path, label: str) -> list[dict]:
    """The loop. Changes `model` in place and returns the rows of the loss table, one per optimizer step."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(parameters, settings)
    steps = settings["epochs"] * math.ceil(len(data.examples) / settings["batch_size"])
    losses = _restore(checkpoint, model, optimizer) if checkpoint.exists() else []
    done = len(losses)
    if done:
        say(f"{label}: going on after step {done} of {steps}")
    progress = Progress(label, total=steps - done)
    step = 0
    for epoch in range(settings["epochs"]):
        for batch in epoch_batches(len(data.examples), settings["batch_size"], seed, epoch):
            step += 1
            if step <= done:
                continue
            rate = settings["learning_rate"] * rate_factor(step - 1, steps, settings)
            # A seed per step instead of one for the run: what dropout draws then does not depend on an earlier kill.
            torch.manual_seed(row_seed(seed, f"step {step}", "dropout"))
            loss = _step(model, optimizer, [data.examples[place] for place in batch], rate, settings)
            if not math.isfinite(loss):
                raise TrainingError(f"the loss became {loss} in step {step} of {steps}; {_CURE}")
            tokens = sum(len(data.examples[place].tokens) for place in batch)
            seen = (losses[-1]["tokens"] if losses else 0) + tokens
            losses.append({"step": step, "epoch": epoch + 1, "loss": round(loss, 6), "learning_rate": rate, "tokens": seen})
            if step % settings["save_steps"] == 0 and step < steps:
                _save(checkpoint, model, optimizer, losses)
            progress.advance(1, tokens=tokens)
        if step > done:
            own = [row["loss"] for row in losses if row["epoch"] == epoch + 1]
            say(f"{label}: epoch {epoch + 1} of {settings['epochs']}, mean loss {sum(own) / len(own):.4f}")
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TrainingError(f"weights {name} are no numbers after the last step; {_CURE}")
    return losses


def _step(model: Any, optimizer: torch.optim.Optimizer, batch: list, rate: float, settings: dict) -> float:
    """One optimizer step on `batch`, in micro batches whose gradients add up. Returns the loss of the batch before the step."""
    total = 0.0
    optimizer.zero_grad(set_to_none=True)
    for start in range(0, len(batch), settings["micro_batch"]):
        micro = batch[start : start + settings["micro_batch"]]
        losses = token_losses(model, pack(micro), settings["loss_chunk"])
        loss = (losses * token_weights(batch, micro, settings["loss"]).to(losses.device)).sum()
        loss.backward()
        total += loss.item()
    if settings["max_grad_norm"] > 0:
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["max_grad_norm"])
    for group in optimizer.param_groups:
        group["lr"] = rate
    if math.isfinite(total):
        optimizer.step()
    return total


def _save(path: Path, model: Any, optimizer: torch.optim.Optimizer, losses: list[dict]) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}, temporary)
    os.replace(temporary, path)


def _restore(path: Path, model: Any, optimizer: torch.optim.Optimizer) -> list[dict]:
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    # load_state_dict casts the statistics to the weights' type; with bfloat16 weights they are float32 and have to stay so.
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, parameter in enumerate(parameters):
        for name, value in saved["optimizer"]["state"].get(place, {}).items():
            on_device = torch.is_tensor(value) and name != "step"
            optimizer.state[parameter][name] = value.to(parameter.device) if on_device else value
    return saved["losses"]


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
