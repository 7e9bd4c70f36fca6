"""Attention over packed rows: what the formula says, and each row's own, bit for bit."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from selfalign.generation.engines import Request
from selfalign.generation.engines.kernels import attend_rows

ROWS, HEADS, GROUP, CAPACITY, SIZE = 5, 2, 3, 40, 8


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
    """Queries, keys, values and lengths; keys and values beyond a row's length are not numbers, so that reading them shows."""
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(ROWS, HEADS, GROUP, SIZE, dtype=torch.float64, generator=generator)
    keys, values = (torch.randn(ROWS, HEADS, CAPACITY, SIZE, generator=generator) for _ in range(2))
    lengths = np.array([1, 40, 7, 8, 23])
    for row, length in enumerate(lengths):
        keys[row, :, length:] = values[row, :, length:] = float("nan")
    return queries, keys, values, lengths


@pytest.mark.parametrize("window", [None, 5])
def test_rows_attend_to_their_own_tokens(window):
    queries, keys, values, lengths = drawn()
    first = np.maximum(lengths - window, 0) if window else np.zeros_like(lengths)
    out, top, total = attend_rows(queries, keys, values, first, lengths)
    for row in range(ROWS):
        span = slice(first[row], lengths[row])
        scores = queries[row] @ keys[row, :, span].double().transpose(1, 2)
        assert torch.allclose(out[row] / total[row], torch.softmax(scores, -1) @ values[row, :, span].double(), atol=1e-12)
        assert torch.allclose(top[row] + total[row].log(), torch.logsumexp(scores, -1, keepdim=True), atol=1e-12)


def test_a_row_is_the_same_bit_for_bit_whatever_is_beside_it():
    queries, keys, values, lengths = drawn()
    together = attend_rows(queries, keys, values, np.zeros_like(lengths), lengths)
    for row in range(ROWS):
        one = slice(row, row + 1)
        alone = attend_rows(queries[one], keys[one], values[one], np.zeros(1, dtype=np.int64), lengths[one])
        for a, b in zip(alone, together, strict=True):
            assert torch.equal(a, b[one])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_number_types_follow_plain_generate(model_folder, opened, dtype):
    """bfloat16 takes the way of a GPU: matrix products over all rows, with masks."""
    engine = opened(model_folder, dtype=dtype)
    requests = [Request(f"{at}", "### Example 1\n" * (at % 2), "[Code]\n" + "x" * (5 * at), 0, 0.0, 12, ()) for at in range(6)]
    completions = {c.id: c.text for c in engine.complete(requests)}
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=getattr(torch, dtype))
    same = 0
    for request in requests:
        ids = torch.tensor([engine.tokenizer.encode(request.prefix + request.prompt)])
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        # Where two tokens are nearly as likely, rounding decides; the first one is far from that in this model.
        texts = completions[request.id], engine.tokenizer.decode(expected, skip_special_tokens=True)
        same += texts[0] == texts[1]
    assert same >= (6 if dtype == "float32" else 3)
