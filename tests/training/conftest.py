"""A small random StarCoder2 model with a byte-level tokenizer of its own, and rows to train it on."""

import pyarrow as pa
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast, Starcoder2Config, Starcoder2ForCausalLM

END = "<|endoftext|>"

TRAINING = {
    "optimizer": "adafactor",
    "learning_rate": 0.003,
    "schedule": "linear",
    "warmup_ratio": 0.05,
    "epochs": 3,
    "batch_size": 4,
    "micro_batch": 2,
    "max_length": 256,
    "dtype": "float32",
    "loss": "per_example",
    "dropout": 0.0,
    "max_grad_norm": 0.0,
    "gradient_checkpointing": False,
    "loss_chunk": 0,
    "lora": {"rank": 0, "alpha": 16.0, "targets": []},
    "device": "cpu",
    "processes": 1,
    "threads": 1,
    "save_steps": 1,
}


def make_model(folder, sliding_window=None):
    """Write a random model whose dropouts are 0.1, as StarCoder2 ships them, and its tokenizer to `folder`."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["def add(a, b):\n    return a + b\n" * 4], vocab_size=300, special_tokens=[END], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token=END, eos_token=END, unk_token=END)
    config = Starcoder2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        sliding_window=sliding_window,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
        attention_dropout=0.1,
        residual_dropout=0.1,
        embedding_dropout=0.1,
    )
    torch.manual_seed(7)
    Starcoder2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The folder of the base model."""
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def cfg(base):
    """A complete config for train_model."""
    return {"model": {"path": str(base), "revision": "", "context": 0}, "training": dict(TRAINING), "seed": 5}


@pytest.fixture
def rows():
    """Ten rows of unequal length."""
    responses = [f"def add_{n}(a, b):\n" + "    a += b\n" * n + "    return a" for n in range(10)]
    return pa.Table.from_pylist([{"id": f"{n:016x}", "instruction": f"Write add_{n}.", "response": text} for n, text in enumerate(responses)])
