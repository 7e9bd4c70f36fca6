"""The base model: loading it, forcing its dropout, telling its weights from others."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from selfalign.data.errors import InputError, TrainingError
from selfalign.data.ids import row_seed
from selfalign.training import attention
from selfalign.training.template import chat_template


def load_tokenizer(model: dict) -> Any:
    """The tokenizer of the config's `model`, with our chat template. InputError if there is none or it has no EOS."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(model["path"], revision=model["revision"] or None)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"model {model['path']}: no usable tokenizer ({_first_line(error)}); set model.path to a complete model folder") from error
    tokenizer.chat_template = chat_template(tokenizer)
    return tokenizer


def load_model(model: dict, dtype: str, dropout: float, device: str) -> Any:
    """The weights of the config's `model` with every dropout at `dropout`, in training mode on `device`."""
    settings = {"revision": model["revision"] or None, "dtype": getattr(torch, dtype), "attn_implementation": attention.NAME}
    loaded = load_weights(model["path"], "set model.path to a complete model folder", **settings)
    set_dropout(loaded, dropout)
    return loaded.to(device).train()


def load_weights(path: str, cure: str, **settings: Any) -> Any:
    """transformers' model of a folder or hub name. InputError, which ends with `cure`, if it cannot be loaded or lacks weights."""
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, **settings)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"model {path}: cannot be loaded ({_first_line(error)}); {cure}") from error
    model, info = loaded
    if info["missing_keys"]:
        raise InputError(f"model {path}: its weights lack {sorted(info['missing_keys'])[0]}; {cure}")
    return model


def add_lora(model: Any, lora: dict, seed: int) -> Any:
    """Freeze `model` and put trainable low-rank matrices (Hu et al. 2021) beside its linear layers, in place.

    Returns peft's model around it, whose merge_and_unload() adds them into the weights.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise TrainingError(f"training.lora needs peft ({_first_line(error)}); install it, or set training.lora.rank to 0") from error
    torch.manual_seed(row_seed(seed, "lora", "initial weights"))
    targets = lora["targets"] or "all-linear"
    try:
        settings = LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
        return get_peft_model(model, settings)
    except ValueError as error:
        raise TrainingError(f"training.lora.targets: {_first_line(error)}") from error


def set_dropout(model: Any, dropout: float) -> None:
    """Set every dropout of `model` (config, modules, attributes of modules) to `dropout`; TrainingError if one is left.

    StarCoder2 ships 0.1 in three places and keeps them as plain numbers in its layers.
    """
    for name in _dropout_names(vars(model.config)):
        setattr(model.config, name, dropout)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
        for name in _dropout_names(vars(module)):
            setattr(module, name, dropout)
    if left := dropout_places(model, other_than=dropout):
        raise TrainingError(f"the dropout of {', '.join(left)} cannot be set to training.dropout {dropout}; use another model")


def dropout_places(model: Any, other_than: float) -> list[str]:
    """Where `model` has a dropout that is not `other_than`: names of config keys and of modules."""
    places = [f"config.{name}" for name, value in model.config.to_dict().items() if _is_dropout(name, value) and value != other_than]
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p != other_than:
            places.append(name)
        places += [f"{name}.{key}" for key in _dropout_names(vars(module)) if getattr(module, key) != other_than]
    return places


def weights_digest(model: dict) -> str:
    """A SHA-256 of the model folder's weights, config and tokenizer files; of name and commit for a model on the hub."""
    folder = Path(model["path"])
    sha = hashlib.sha256()
    if not folder.is_dir():
        commit = getattr(AutoConfig.from_pretrained(model["path"], revision=model["revision"] or None), "_commit_hash", None)
        sha.update(f"{model['path']}@{commit or model['revision']}".encode())
        return sha.hexdigest()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".bin", ".json", ".txt", ".model"}:
            sha.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                for block in iter(partial(file.read, 1 << 20), b""):
                    sha.update(block)
    return sha.hexdigest()


def _is_dropout(name: str, value: object) -> bool:
    return ("dropout" in name or name.endswith("pdrop")) and isinstance(value, int | float) and not isinstance(value, bool)


def _dropout_names(values: dict) -> list[str]:
    return [name for name, value in values.items() if _is_dropout(name, value)]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
