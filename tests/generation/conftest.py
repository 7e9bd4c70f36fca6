"""A tiny model with random weights and a tokenizer made from a few lines, for tests of engines and steps."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Starcoder2Config, Starcoder2ForCausalLM

from selfalign.data.config import defaults
from selfalign.generation.engines import Request
from selfalign.generation.engines.transformers import TransformersEngine

LINES = [
    "### Example 1\n[Code]\ndef add(a, b):\n    return a + b\n",
    "[Instruction]\nWrite a function that adds two numbers.\n\n[Response]\n[Reasoning]\nAdd them.\n",
    "Yes No list comprehension, dictionary, string formatting\n",
]
ENGINE = {**defaults("engine"), "batch_size": 8, "retries": 2}


def _opened(folder, context: int = 0, **values) -> TransformersEngine:
    return TransformersEngine({"path": str(folder), "revision": "", "context": context}, {**ENGINE, **values})


def _save_tokenizer(folder) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>").save_pretrained(folder)


def _save_model(folder, seed: int = 0, **config) -> None:
    torch.manual_seed(seed)
    shape = dict(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    rest = dict(max_position_embeddings=256, bos_token_id=0, eos_token_id=0, sliding_window=None, initializer_range=0.3)
    Starcoder2ForCausalLM(Starcoder2Config(**{**shape, **rest, **config})).save_pretrained(folder)


@pytest.fixture
def engine_cfg() -> dict:
    """The config's `engine` of these tests."""
    return dict(ENGINE)


@pytest.fixture(scope="session")
def opened():
    """A function: an engine on the model in `folder`, with `values` in its part of the config."""
    return _opened


@pytest.fixture(scope="session")
def save_tokenizer():
    """A function that puts the tokenizer into `folder`."""
    return _save_tokenizer


@pytest.fixture(scope="session")
def save_model():
    """A function that puts a model with random weights into `folder`; `config` are values of its configuration."""
    return _save_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A model that writes noise, sometimes ends by itself, and takes 256 tokens."""
    folder = tmp_path_factory.mktemp("model")
    _save_tokenizer(folder)
    _save_model(folder)
    return folder


@pytest.fixture(scope="session")
def engine(model_folder):
    return _opened(model_folder)


@pytest.fixture
def requests() -> list[Request]:
    """Requests of several kinds: three prefixes and none, greedy and sampled, long and short, some with choices."""
    prefixes = ("", "### Example 1\n[Code]\nadd\n\n", "List the concepts.\n\n### Example 1\n", "Write a function that adds.\n\n")
    rows = []
    for at in range(24):
        prompt = f"[Code]\ndef add{'x' * (7 * at % 40)}(a, b):\n    return {at}\n\n[Concepts]\n"
        temperature = 0.0 if at % 6 == 0 else 0.9
        stop = ("\n### Example", "q") if at % 2 else ()
        choices = ("Yes", "No", "Yes, list") if at % 8 == 3 else ()
        rows.append(Request(f"row{at:02d}", prefixes[at % 4], prompt, 1000 + at, temperature, 10 + 3 * (at % 7), stop, choices))
    return rows
