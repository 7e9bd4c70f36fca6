"""A start that copies: weights of two attention heads that look for what followed the current token before.

A model of this size finds such an induction head (Olsson et al., 2022, "In-context learning and induction heads") by itself, but
only after millions of tokens. Here every layer starts by adding nothing to the residual stream, but for two heads: one in the
first layer that looks at the previous token, by the biases of its query and key, which turn with the rotary position; and one in
the second that looks for a place whose previous token is the current one, and passes on the token there. Before any training
half of the tokens of a repeated random sequence are right. All weights are trained from then on.
"""

import torch

SHARP = 5.5  # size of the biases: how sharply the first head looks at the previous token
HIGH = 12  # rotary frequencies, from the highest, that tell neighbouring positions apart
LOW = 10  # rotary frequencies, from the lowest, that hardly turn within the context: they compare tokens
WRITE, MATCH, PASS_ON = 0.1, 2.5, 1.0  # sizes of what the heads write and compare


@torch.no_grad()
def start_copying(model) -> None:
    """Set query, key, value and output of head 0 in the first two layers of a Starcoder2ForCausalLM."""
    config = model.config
    width, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    half = size // 2
    generator = torch.Generator().manual_seed(0)
    read, write, token = (torch.linalg.qr(torch.randn(width, size, generator=generator))[0] for _ in range(3))

    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.c_proj.weight.zero_()

    before = model.model.layers[0].self_attn
    angle = 10_000.0 ** (-torch.arange(half) / half)[:HIGH]
    before.k_proj.bias[:HIGH] = SHARP
    before.q_proj.bias[:HIGH] = SHARP * torch.cos(angle)
    before.q_proj.bias[half : half + HIGH] = -SHARP * torch.sin(angle)
    before.v_proj.weight[:size] = read.T
    before.o_proj.weight[:, :size] = WRITE * write

    match = model.model.layers[1].self_attn
    rows = [*range(half - LOW, half), *range(size - LOW, size)]
    match.q_proj.weight[:size] *= 0.1
    match.k_proj.weight[:size] *= 0.1
    match.q_proj.weight[rows] = MATCH * read.T[: len(rows)]
    match.k_proj.weight[rows] = MATCH * write.T[: len(rows)]
    match.v_proj.weight[:size] = token.T
    match.o_proj.weight[:, :size] = PASS_ON * token
