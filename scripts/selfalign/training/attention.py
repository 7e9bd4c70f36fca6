"""Attention over packed examples: each example attends to itself only, as if it were alone.

One call of PyTorch's causal attention per example, while all other layers work on the whole pack. A mask over the pack would
give the same result, but its cost grows with the square of the pack's length: on CPU it ate what packing gained.
"""

from itertools import pairwise

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from selfalign.data.errors import TrainingError

NAME = "selfalign_examples"  # under which transformers knows it


def example_attention(
    module, query, key, value, attention_mask, scaling=None, dropout=0.0, sliding_window=None, softcap=None, cu_seq_lens_q=None, **kwargs
):
    """The attention function that transformers calls in each layer.

    query (1, heads, tokens, head dim), key and value (1, kv heads, tokens, head dim), cu_seq_lens_q (examples + 1) the borders
    of the examples, on the CPU. Returns (1, tokens, heads, head dim).
    """
    if softcap is not None or kwargs.get("s_aux") is not None or cu_seq_lens_q is None:
        raise TrainingError(f"{type(module).__name__}: training does not support this kind of attention; use another base model")
    grouped = query.shape[1] != key.shape[1]
    parts = []
    for start, end in pairwise(cu_seq_lens_q.tolist()):
        q, k, v = (tensor[:, :, start:end] for tensor in (query, key, value))
        mask = None
        if sliding_window is not None and end - start > sliding_window:
            mask = torch.ones(end - start, end - start, dtype=torch.bool, device=query.device).tril().triu(1 - sliding_window)
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, dropout_p=dropout, scale=scaling, enable_gqa=grouped)
        parts.append(out)
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, example_attention)
