"""Prompts of a chat model (model.chat): the examples of a draw as turns of a conversation, by the model's own chat template.

The text up to the row's question is shared by all rows of a draw, as in the completion form, so that prefix caches work the same way.
"""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from selfalign.data.errors import EngineError
from selfalign.generation.fewshot import Example, Judged
from selfalign.generation.prompts import answer, question

_MARK = "\ue000"  # stands for the row's question; of a private area, so that no text has it


class ChatForm:
    """How the model in `path` (a folder, or a name on the hub) wants a conversation written. EngineError if it does not say."""

    def __init__(self, path: str, revision: str = ""):
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path, revision=revision or None)
        except (OSError, ValueError) as error:
            raise EngineError(f"model.chat: model {path} has no usable tokenizer here, and so no chat template; set model.chat to false") from error
        if not self._tokenizer.chat_template:
            raise EngineError(f"model.chat: model {path} has no chat template; set model.chat to false")
        self._path = path
        # Engines put what the tokenizer puts before a text there themselves.
        start, bos = self._tokenizer.encode("a")[:1], self._tokenizer.bos_token
        self._given = bos if bos and start == [self._tokenizer.bos_token_id] else ""

    def render(self, step: str, system: str, examples: Sequence[Example | Judged]) -> tuple[str, str]:
        """(text before the row's question, text between it and the answer)."""
        turns = [turn for example in examples for turn in (("user", question(step, example).strip()), ("assistant", answer(step, example)))]
        turns.append(("user", _MARK))
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = self._apply([{"role": "system", "content": system}, *messages])
            if system not in text:  # some templates leave a system message out without a word
                raise TemplateError("no system message")
        except TemplateError:
            messages[0] = {"role": "user", "content": f"{system}\n\n{messages[0]['content']}"}
            try:
                text = self._apply(messages)
            except TemplateError as error:
                raise EngineError(f"model.chat: the template of {self._path} refuses the conversation ({error}); set model.chat to false") from error
        if text.count(_MARK) != 1:
            raise EngineError(f"model.chat: the template of {self._path} does not repeat a question as it is; set model.chat to false")
        before, _, after = text.partition(_MARK)
        return before.removeprefix(self._given), after

    def _apply(self, messages: list[dict]) -> str:
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
