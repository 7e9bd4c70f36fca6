"""The bundled benchmark's first problems, a small random model, and a complete config."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast, Starcoder2Config, Starcoder2ForCausalLM

from selfalign.data.config import defaults
from selfalign.evaluation.kinds import load_tasks

MINIATURE = Path(__file__).parents[2] / "benchmarks" / "miniature.jsonl"
END = "<|endoftext|>"


def benchmark(name, **settings):
    """An item of the config's evaluation.benchmarks."""
    return {"name": name, "data": "", "sha256": "", "python": "", "release": 0, "from": "", "to": "", "limit": 0, **settings}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A file with the first six problems of the miniature benchmark."""
    path = tmp_path_factory.mktemp("benchmark") / "six.jsonl"
    path.write_text("".join(MINIATURE.read_text(encoding="utf-8").splitlines(keepends=True)[:6]), encoding="utf-8")
    return path


@pytest.fixture
def problems(data):
    return load_tasks(benchmark("six"), [data])


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The folder of a random StarCoder2 model with a byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["def add(a, b):\n    return a + b\n" * 4], vocab_size=300, special_tokens=[END], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token=END, eos_token=END, unk_token=END)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    positions = {"max_position_embeddings": 2048, "sliding_window": None, "initializer_range": 0.2}
    torch.manual_seed(7)
    Starcoder2ForCausalLM(Starcoder2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **size, **positions)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def cfg(base, data):
    """A complete config of model, engine, execution, training, evaluation, selection, decontamination, ablation and seed."""
    parts = ("engine", "execution", "training", "evaluation", "selection", "decontamination", "ablation")
    config = {"model": {"path": str(base), "revision": "", "context": 0}, **{part: defaults(part) for part in parts}, "seed": 3}
    config["evaluation"] |= {"benchmarks": [benchmark("six", data=str(data))], "max_new_tokens": 8}
    config["training"] |= {"dtype": "float32", "epochs": 2, "batch_size": 4, "micro_batch": 2, "threads": 1, "learning_rate": 0.003}
    return json.loads(json.dumps(config))


@pytest.fixture
def rows(data):
    """The problems as they are in the file."""
    return [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
