"""From rows of the final dataset to token sequences, in an exact order, in batches, packed without padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from selfalign.data.ids import generator
from selfalign.training.template import render_prompt, special_tokens


@dataclass(frozen=True)
class Example:
    """One row as tokens: BOS and prompt (`prompt` tokens), then response and EOS. Loss is taken on the latter."""

    id: str
    tokens: tuple[int, ...]
    prompt: int

    @property
    def targets(self) -> int:
        """Number of tokens that the loss is taken on."""
        return len(self.tokens) - self.prompt


@dataclass(frozen=True)
class Examples:
    """The examples sorted by id; `truncated` were cut at the longest length, `skipped` had no room for any response."""

    examples: tuple[Example, ...]
    truncated: int
    skipped: int


@dataclass(frozen=True)
class Packed:
    """Examples one behind another in one row of N tokens, R of which predict a token of a response.

    Positions restart with every example; `borders` tells attention where.
    """

    input_ids: torch.Tensor  # [1, N] int64
    position_ids: torch.Tensor  # [1, N] int64
    predicting: torch.Tensor  # [R] int64, places in the row
    targets: torch.Tensor  # [R] int64, the token that follows each of them
    borders: torch.Tensor  # [examples + 1] int32, 0 and the end of each example


def tokenize_rows(rows: Sequence[dict], tokenizer: Any, max_length: int) -> Examples:
    """Rows (id, instruction, response) as examples of at most `max_length` tokens, sorted by id.

    A longer one is cut (and loses its EOS); one whose prompt alone fills `max_length` has nothing to learn from and is skipped.
    """
    bos, _ = special_tokens(tokenizer)
    rows = sorted(rows, key=lambda row: row["id"])
    if not rows:
        return Examples((), 0, 0)
    # Prompt and response apart, so that no token spans the border: exactly the tokens that generation starts from.
    prompts = tokenizer([render_prompt(row["instruction"], bos) for row in rows], add_special_tokens=False)["input_ids"]
    responses = tokenizer([row["response"].strip() for row in rows], add_special_tokens=False)["input_ids"]
    examples, truncated = [], 0
    for row, prompt, response in zip(rows, prompts, responses, strict=True):
        if len(prompt) >= max_length:
            continue
        tokens = [*prompt, *response, tokenizer.eos_token_id]
        truncated += len(tokens) > max_length
        examples.append(Example(row["id"], tuple(tokens[:max_length]), len(prompt)))
    return Examples(tuple(examples), truncated, len(rows) - len(examples))


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The places of `count` examples in the order of this epoch, in batches; the last one may be smaller."""
    order = list(range(count))
    generator(seed, f"epoch {epoch}", "training order").shuffle(order)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def pack(examples: Sequence[Example]) -> Packed:
    """Several examples as one row."""
    ids, positions, predicting, targets, borders = [], [], [], [], [0]
    for example in examples:
        start, length = len(ids), len(example.tokens)
        ids += example.tokens
        positions += range(length)
        predicting += range(start + example.prompt - 1, start + length - 1)
        targets += example.tokens[example.prompt :]
        borders.append(len(ids))
    flat = [torch.tensor(values, dtype=torch.int64) for values in (ids, positions, predicting, targets)]
    return Packed(flat[0][None], flat[1][None], flat[2], flat[3], torch.tensor(borders, dtype=torch.int32))
