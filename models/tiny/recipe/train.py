"""Train the bundled model from scratch: `python models/tiny/recipe/train.py`, seed fixed, resumable.

Weights begin with heads that copy (copying.py). Muon for the hidden matrices and AdamW for the rest, bfloat16 autocast, linear
warm-up, constant, then linear decay to zero.
"""

import argparse
import json
import math
import random
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from benchmark import solution_keys
from copying import start_copying
from corpus import Corpus
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Starcoder2Config, Starcoder2ForCausalLM

OUT = Path(__file__).parents[1]
SEED = 3407
VOCABULARY, CONTEXT = 3072, 1024  # tokens
STEP_TOKENS = 4096  # per optimizer step: sequences of half the context, at the end of the whole
END = "<|endoftext|>"
CHUNK = 3_000_000  # tokens that one worker call makes
LEARNING_RATE = 2.5e-3
BUDGET = 19_000_000  # tokens
VERDICT_WEIGHT = 8.0  # in the loss: a judged function is one token of answer after hundreds of code
DECAY = 0.5  # last share of the budget, in which the learning rate falls to zero
LONG = 0.2  # last share of the budget, in which sequences fill the context


def train_tokenizer(corpus: Corpus) -> PreTrainedTokenizerFast:
    """Byte-level BPE. Digits stand alone, and so does each line break, so that no token crosses the end of a line."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("\n"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    documents = corpus.documents(random.Random(SEED))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator((next(documents) for _ in range(6000)), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END, model_max_length=CONTEXT, clean_up_tokenization_spaces=False
    )


def make_chunk(index: int) -> np.ndarray:
    """Chunk `index` of the corpus: token ids, documents separated by the end token."""
    tokenizer = Tokenizer.from_file(str(OUT / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    documents = Corpus(solution_keys()).documents(random.Random(f"{SEED} chunk {index}"))
    ids: list[int] = []
    while len(ids) < CHUNK:
        ids.append(end)
        ids.extend(tokenizer.encode(next(documents)).ids)
    return np.array(ids[:CHUNK], dtype=np.uint16)


def build_model() -> Starcoder2ForCausalLM:
    """A StarCoder2 model of about 3.7 million parameters, initialised from the seed."""
    torch.manual_seed(SEED)
    config = Starcoder2Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        sliding_window=None,
        initializer_range=0.06,
        attention_dropout=0.0,
        residual_dropout=0.0,
        embedding_dropout=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = Starcoder2ForCausalLM(config)
    start_copying(model)
    return model


def optimizers(model) -> list[torch.optim.Optimizer]:
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(hidden, lr=LEARNING_RATE, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


class Run:
    """The state of a training: model, optimizers, step, seconds used, log; saved to and loaded from one file."""

    def __init__(self, folder: Path):
        self.file = folder / "state.pt"
        self.log = folder / "log.jsonl"
        self.model = build_model()
        self.compiled = torch.compile(self.model, dynamic=False)
        self.optimizers = optimizers(self.model)
        tokenizer = Tokenizer.from_file(str(OUT / "tokenizer.json"))
        self.verdicts = torch.tensor([tokenizer.encode(word).ids[0] for word in ("Yes", "No")])
        self.line_break = tokenizer.encode("\n").ids[0]
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        if self.file.exists():
            state = torch.load(self.file, weights_only=False)
            self.model.load_state_dict(state["model"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.step, self.seconds, self.tokens = state["step"], state["seconds"], state["tokens"]

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "tokens": self.tokens,
        }
        temporary = self.file.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.file)

    def weights(self, ids: torch.Tensor) -> torch.Tensor:
        """The weight of each predicted token of `ids` in the loss: a verdict is a Yes or No at the beginning of a line."""
        verdict = torch.isin(ids[:, 1:], self.verdicts) & (ids[:, :-1] == self.line_break)
        return (1 + (VERDICT_WEIGHT - 1) * verdict).reshape(-1)

    def update(self, batch: np.ndarray, rate: float) -> float:
        """One optimizer step on rows of token ids; returns the loss."""
        ids = torch.from_numpy(batch.astype(np.int64))
        total = 0.0
        for part in ids.split(max(1, 2048 // (ids.shape[1] - 1))):
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.compiled(part[:, :-1].contiguous(), use_cache=False).logits
            losses = torch.nn.functional.cross_entropy(logits.float().view(-1, VOCABULARY), part[:, 1:].reshape(-1), reduction="none")
            weights = self.weights(part)
            loss = (losses * weights).sum() / weights.sum() * len(part) / len(ids)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total


class Stream:
    """Batches of the corpus from a given number of tokens on; the next chunk is made in another process."""

    def __init__(self, pool: ProcessPoolExecutor, tokens: int):
        self.pool, self.index, self.at, self.chunk = pool, tokens // CHUNK, tokens % CHUNK, None
        self.ahead = pool.submit(make_chunk, self.index)

    def rows(self, count: int, length: int) -> np.ndarray:
        """The next `count` rows of `length` + 1 tokens, which overlap by one."""
        size = count * length
        if self.chunk is None or self.at + size + 1 > CHUNK:
            self.at = self.at if self.chunk is None else 0
            self.chunk = self.ahead.result()
            self.index += 1
            self.ahead = self.pool.submit(make_chunk, self.index)
        part = self.chunk[self.at : self.at + size + 1]
        self.at += size
        return np.stack([part[start : start + length + 1] for start in range(0, size, length)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=BUDGET, help="tokens of the corpus; the schedule is laid out over them")
    parser.add_argument("--work", type=Path, default=Path("cache/recipe"), help="folder for checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    if not (args.work / "state.pt").exists():
        train_tokenizer(Corpus(solution_keys())).save_pretrained(OUT)
    run = Run(args.work)
    print(f"{sum(p.numel() for p in run.model.parameters()) / 1e6:.2f} M parameters", flush=True)
    with ProcessPoolExecutor(1) as pool, run.log.open("a") as log:
        stream = Stream(pool, run.tokens)
        recent: list[float] = []
        while run.tokens < args.tokens:
            start = time.monotonic()
            left = 1 - run.tokens / args.tokens
            length = CONTEXT if left < LONG else CONTEXT // 2
            loss = run.update(stream.rows(STEP_TOKENS // length, length), min(1.0, (run.step + 1) / 100, left / DECAY))
            run.tokens += STEP_TOKENS
            run.seconds += time.monotonic() - start
            recent = [*recent[-49:], loss]
            if run.step % 50 == 0:
                entry = {"step": run.step, "loss": round(sum(recent) / len(recent), 4), "tokens": run.tokens, "seconds": round(run.seconds)}
                if not math.isfinite(entry["loss"]):
                    raise SystemExit("the loss is not a number: lower LEARNING_RATE")
                log.write(json.dumps(entry) + "\n")
                log.flush()
                print(entry, flush=True)
            if run.step % 250 == 0:
                run.save()
                export(run.model)
    run.save()
    export(run.model)


def export(model: Starcoder2ForCausalLM) -> None:
    """Write the model to models/tiny in bfloat16."""
    copy = build_model()
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16).save_pretrained(OUT)


if __name__ == "__main__":
    main()
