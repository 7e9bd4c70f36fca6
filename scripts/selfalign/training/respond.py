"""One response of a tuned model, as it is made: chat template, prefix, greedy, until EOS or the heading of another section."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer

from selfalign.data.errors import InputError
from selfalign.training.model import load_weights
from selfalign.training.template import STOP

_CURE = "give the folder of a tuned model with --model"


def load_tuned(folder: str) -> tuple[Any, Any]:
    """(model, tokenizer) of a folder or hub name that has a chat template; on the GPU if there is one."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if not Path(folder).exists() and (folder.startswith(("results", ".", "/")) or folder.count("/") > 1):
        raise InputError(f"model {folder}: no such folder; name the model with --model, or make the default run with: .venv/bin/snakemake model")
    if Path(folder).exists() and not (Path(folder) / "config.json").is_file():
        raise InputError(f"model {folder}: no config.json in it, so it is no model; {_CURE}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"model {folder}: no usable tokenizer ({next(iter(str(error).strip().splitlines()), '')}); {_CURE}") from error
    if tokenizer.chat_template is None:
        raise InputError(f"model {folder}: its tokenizer has no chat template; {_CURE}")
    model = load_weights(folder, _CURE, dtype="auto")
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def stream_response(model: Any, tokenizer: Any, instruction: str, prefix: str = "", max_new_tokens: int = 1024) -> Iterator[str]:
    """The response in pieces, `prefix` first. Nothing is yielded that could still turn out to be the beginning of `###`."""
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": instruction}], add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt + prefix, add_special_tokens=False, return_tensors="pt")["input_ids"].to(model.device)
    context = getattr(model.config, "max_position_embeddings", 1 << 30)
    room = context - ids.shape[1]
    if room < 1:
        raise InputError(f"the instruction has {ids.shape[1]} tokens, and the model's context {context}; shorten it")
    yield prefix
    cache, tokens, said = None, [], 0
    for _ in range(min(max_new_tokens, room)):
        with torch.inference_mode():
            output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache, ids = output.past_key_values, output.logits[:, -1:].argmax(-1)
        if ids.item() == tokenizer.eos_token_id:
            break
        tokens.append(ids.item())
        text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if STOP in text:
            yield text[said : text.index(STOP)]
            return
        ready = len(text) - _unsettled(text)
        if ready > said:
            yield text[said:ready]
            said = ready
    # Cut by its length, the response may end within a character.
    yield tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False).rstrip("\ufffd")[said:]


def _unsettled(text: str) -> int:
    """How many characters at the end may change or become part of the stop string."""
    if text.endswith("\ufffd"):  # the first bytes of a character
        return len(text) - len(text.rstrip("\ufffd"))
    return next((length for length in range(len(STOP) - 1, 0, -1) if text.endswith(STOP[:length])), 0)
