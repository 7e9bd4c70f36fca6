"""The chat template: one system sentence, then `### Instruction` and `### Response` sections.

The same text is made in three places: by `render_prompt` (training, evaluation, `selfalign respond`), by the Jinja
template that is saved with the tokenizer (plain transformers, servers), and in the model card's example.
"""

import json
from typing import Any

from selfalign.data.errors import InputError

SYSTEM = "The assistant answers each programming request with code that is correct and easy to read."
INSTRUCTION = "### Instruction\n"
RESPONSE = "### Response\n"
STOP = "###"  # the heading of a next section ends a response of a model that missed its EOS

# Follows the assignments of bos, eos and system. Several turns follow each other, each response closed by EOS.
_JINJA = (
    "{{- bos + system }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{- '\\n\\n### Instruction\\n' + message['content'] | trim }}"
    "{%- elif message['role'] == 'assistant' %}{{- '\\n\\n### Response\\n' + message['content'] | trim + eos }}"
    "{%- else %}{{- raise_exception('this model knows the roles user and assistant only') }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '\\n\\n### Response\\n' }}{%- endif %}"
)


def special_tokens(tokenizer: Any) -> tuple[str, str]:
    """(BOS, EOS) of a tokenizer. StarCoder2 has one token for both, so EOS stands in for a missing BOS.

    InputError if the tokenizer has no EOS: a response could not be closed.
    """
    if tokenizer.eos_token is None:
        raise InputError(f"{tokenizer.name_or_path}: the tokenizer has no EOS token; set eos_token in its tokenizer_config.json")
    return tokenizer.bos_token or tokenizer.eos_token, tokenizer.eos_token


def render_prompt(instruction: str, bos: str, prefix: str = "") -> str:
    """The prompt for one instruction, up to and including the `prefix` that the response is to begin with."""
    return f"{bos}{SYSTEM}\n\n{INSTRUCTION}{instruction.strip()}\n\n{RESPONSE}{prefix}"


def chat_template(tokenizer: Any) -> str:
    """The Jinja template to be saved with `tokenizer`: apply_chat_template with it equals render_prompt."""
    bos, eos = special_tokens(tokenizer)
    texts = {"bos": bos, "eos": eos, "system": SYSTEM}
    return "".join(f"{{%- set {name} = {json.dumps(text)} %}}" for name, text in texts.items()) + _JINJA
