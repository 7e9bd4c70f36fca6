"""Attention over many rows in one forward pass, with shared prefixes and without padding.

A forward pass takes one flat sequence of tokens (batch 1): first the newest token of each row that is being decoded, then
whole prompts of rows that begin. Every linear layer works on exactly these tokens. Attention has two parts, merged
by their log-sum-exp (as in Juravsky et al., Hydragen, 2024, section 3.1): over the shared prefix, one matrix product for all
rows that have it, so its keys and values are stored once; and over the row's own tokens, kept in a preallocated cache.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface

from selfalign.data.errors import EngineError
from selfalign.generation.engines.kernels import attend_rows

NAME = "selfalign_packed"  # under which transformers knows packed_attention
_MASKED = -1e30  # finite, so that a fully masked row gets weight 0 in the merge and not NaN
_BLOCK = 256  # positions by which a cache grows


class RowCache:
    """Keys and values of the rows' own tokens: per layer (slots, kv heads, capacity, head dim), grown in blocks.

    A model in float64 keeps them in float32, on CPU: what a row's neighbours change, about 1e-15, very rarely
    crosses a rounding boundary there, and moves a logit by some 1e-8 if it does.
    """

    def __init__(self, slots: int):
        self.slots = slots
        self.capacity = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def reserve(self, length: int) -> None:
        """Make room for rows of `length` tokens."""
        if length <= self.capacity:
            return
        self.capacity = -(-length // _BLOCK) * _BLOCK
        for layer, old in self._layers.items():
            self._layers[layer] = tuple(self._grown(tensor) for tensor in old)  # type: ignore[assignment]

    def _grown(self, old: torch.Tensor) -> torch.Tensor:
        slots, heads, length, size = old.shape
        new = old.new_zeros(slots, heads, self.capacity, size)
        new[:, :, :length] = old
        return new

    def layer(self, layer: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one layer; `like` is (kv heads, tokens, head dim)."""
        if layer not in self._layers:
            shape = (self.slots, like.shape[0], self.capacity, like.shape[2])
            kept = torch.float32 if like.is_cpu and like.dtype == torch.float64 else like.dtype
            self._layers[layer] = (like.new_zeros(shape, dtype=kept), like.new_zeros(shape, dtype=kept))
        return self._layers[layer]

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of slot `source` to slot `target`."""
        for tensors in self._layers.values():
            for tensor in tensors:
                tensor[target, :, :length] = tensor[source, :, :length]


@dataclass
class Prefix:
    """A shared prefix: its tokens, and per layer its keys and values (kv heads, tokens, head dim)."""

    tokens: list[int]
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass
class Segment:
    """Whole prompt of one row (or a whole prefix) in the flat sequence."""

    tokens: list[int]
    prefix: Prefix | None
    slot: int = -1  # where the row's keys and values go, -1 for nowhere
    store: Prefix | None = None  # the prefix that these tokens are


class Plan:
    """Who attends to what in one forward pass: `decoding` rows in slots 0, 1, ..., then `segments`.

    decoding: (newest token, its index among the row's own tokens, prefix) for each slot.
    """

    def __init__(self, decoding: list[tuple[int, int, Prefix | None]], segments: list[Segment], cache: RowCache, device: torch.device):
        self.cache, self.segments, self.device = cache, segments, device
        self.rows = len(decoding)
        tokens = [token for token, _, _ in decoding]
        positions = [index + len(prefix or ()) for _, index, prefix in decoding]
        members: dict[int, tuple[Prefix, list[int]]] = {}
        for at, (_, _, prefix) in enumerate(decoding):
            if prefix is not None:
                members.setdefault(id(prefix), (prefix, []))[1].append(at)
        self.spans: list[tuple[int, int]] = []
        for segment in segments:
            start = len(tokens)
            tokens += segment.tokens
            offset = len(segment.prefix or ())
            positions += range(offset, offset + len(segment.tokens))
            self.spans.append((start, len(tokens)))
            if segment.prefix is not None:
                members.setdefault(id(segment.prefix), (segment.prefix, []))[1].extend(range(start, len(tokens)))
        self.longest = max(positions) + 1
        self.tokens = torch.tensor([tokens], device=device)
        self.positions = torch.tensor([positions], device=device)
        # Without an index where one prefix serves the whole pass.
        self.groups = [(prefix, None if len(at) == len(tokens) else torch.tensor(at, device=device)) for prefix, at in members.values()]
        own = [index for _, index, _ in decoding]
        self.width = max(own, default=-1) + 1
        self.last = np.array(own, dtype=np.int64)
        self.slots = torch.arange(self.rows, device=device)
        self.index = torch.tensor(own, device=device)
        cache.reserve(self.width)
        cache.reserve(max((len(segment.tokens) for segment in segments if segment.slot >= 0), default=0))
        self._masks: dict[Any, torch.Tensor] = {}

    def row_mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """Added to the scores of decoding rows against their own keys: (rows, 1, 1, width)."""
        key = ("rows", window)
        if key not in self._masks:
            at, own = torch.arange(self.width, device=self.device)[None], self.index[:, None]
            hidden = at > own
            if window is not None:
                hidden |= at <= own - window
            self._masks[key] = (hidden.to(dtype) * _MASKED)[:, None, None]
        return self._masks[key]

    def segment_mask(self, length: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """Causal mask of a segment against itself: (length, length)."""
        key = (length, window)
        if key not in self._masks:
            at = torch.arange(length, device=self.device)
            hidden = at[None] > at[:, None]
            if window is not None:
                hidden |= at[None] <= at[:, None] - window
            self._masks[key] = hidden.to(dtype) * _MASKED
        return self._masks[key]

    def prefix_mask(self, prefix: Prefix, index: torch.Tensor | None, window: int, dtype: torch.dtype) -> torch.Tensor:
        """Sliding window of tokens over a prefix: (tokens, prefix length)."""
        positions = self.positions[0] if index is None else self.positions[0, index]
        at = torch.arange(len(prefix), device=self.device)
        return (at[None] <= positions[:, None] - window).to(dtype) * _MASKED


def _partial(scores: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attention before its division: (weighted values, largest score, sum of weights). Overwrites the scores."""
    top = scores.amax(-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    return torch.matmul(weights.to(values.dtype), values).to(scores.dtype), top, total


def _rows(queries, keys, values, plan: Plan, window: int | None, exact: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Partial attention of the decoding rows over their own tokens; queries (rows, kv heads, group, head dim)."""
    if queries.is_cpu and keys.dtype == torch.float32:
        first = np.zeros_like(plan.last) if window is None else np.maximum(plan.last + 1 - window, 0)
        return attend_rows(queries, keys, values, first, plan.last + 1)
    scores = torch.matmul(queries, keys[:, :, : plan.width].transpose(2, 3)).to(exact)
    scores += plan.row_mask(window, exact)
    return _partial(scores, values[:, :, : plan.width])


def packed_attention(module, query, key, value, attention_mask, scaling=None, sliding_window=None, softcap=None, plan: Plan | None = None, **kwargs):
    """The attention function that transformers calls in each layer, for a forward pass that `plan` describes.

    query (1, heads, tokens, head dim), key and value (1, kv heads, tokens, head dim). Returns (1, tokens, heads, head dim).
    """
    if plan is None or softcap is not None or kwargs.get("s_aux") is not None:
        raise EngineError(f"{type(module).__name__}: the transformers engine does not support its attention; set engine.kind to vllm or openai")
    _, heads, tokens, size = query.shape
    kv_heads = key.shape[1]
    layer = module.layer_idx
    scaling = size**-0.5 if scaling is None else scaling
    window = sliding_window if sliding_window is not None and plan.longest > sliding_window else None
    q = (query[0] * scaling).view(kv_heads, heads // kv_heads, tokens, size)
    k, v = key[0], value[0]
    exact = torch.promote_types(query.dtype, torch.float32)  # number type of scores and weights

    outs, tops, totals = [], [], []  # over the tokens, in their order: (kv heads, group, tokens, ...)
    if plan.rows:
        n = plan.rows
        keys, values = plan.cache.layer(layer, k)
        keys[plan.slots, :, plan.index] = k[:, :n].transpose(0, 1).to(keys.dtype)
        values[plan.slots, :, plan.index] = v[:, :n].transpose(0, 1).to(values.dtype)
        for parts, part in zip((outs, tops, totals), _rows(q[:, :, :n].permute(2, 0, 1, 3), keys[:n], values[:n], plan, window, exact), strict=True):
            parts.append(part.permute(1, 2, 0, 3))
    for segment, (start, end) in zip(plan.segments, plan.spans, strict=True):
        own_k, own_v = k[:, start:end], v[:, start:end]
        if segment.slot >= 0:
            keys, values = plan.cache.layer(layer, k)
            keys[segment.slot, :, : end - start] = own_k
            values[segment.slot, :, : end - start] = own_v
        if segment.store is not None:
            segment.store.layers[layer] = (own_k.clone(), own_v.clone())
        scores = torch.matmul(q[:, :, start:end], own_k.transpose(1, 2)[:, None]).to(exact)
        scores += plan.segment_mask(end - start, window, exact)
        for parts, part in zip((outs, tops, totals), _partial(scores, own_v[:, None]), strict=True):
            parts.append(part)
    out, top, total = (parts[0] if len(parts) == 1 else torch.cat(parts, 2) for parts in (outs, tops, totals))

    for prefix, index in plan.groups:
        prefix_k, prefix_v = prefix.layers[layer]
        chosen = q if index is None else q.index_select(2, index)
        count = chosen.shape[2]
        scores = torch.matmul(chosen.reshape(kv_heads, -1, size), prefix_k.transpose(1, 2)).to(exact)
        if window is not None:
            scores.view(kv_heads, -1, count, len(prefix)).add_(plan.prefix_mask(prefix, index, window, exact))
        shared = [part.view(kv_heads, -1, count, part.shape[-1]) for part in _partial(scores, prefix_v)]
        own = (out, top, total) if index is None else tuple(part.index_select(2, index) for part in (out, top, total))
        merged = _merged(own, shared)
        if index is None:
            out, _, total = merged
        else:
            out, total = out.index_copy(2, index, merged[0]), total.index_copy(2, index, merged[2])
    out = (out / total).to(query.dtype)
    return out.permute(2, 0, 1, 3).reshape(1, tokens, heads, size), None


def _merged(a, b) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two partial attentions of the same queries over different keys as one."""
    top = torch.maximum(a[1], b[1])
    weight_a, weight_b = (a[1] - top).exp_(), (b[1] - top).exp_()
    return a[0] * weight_a + b[0] * weight_b, top, a[2] * weight_a + b[2] * weight_b


AttentionInterface.register(NAME, packed_attention)
