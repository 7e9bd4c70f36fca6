"""The transformers engine: continuous batching in this process, on CPU or CUDA.

A row's completion depends on that row alone. Its tokens are never padded; float64 keeps the rounding of a batch some ten orders of
magnitude below what could change a sampled token; and random numbers come from (seed, position), not from a stream.
A row that ends leaves its slot to the next request in the same forward pass, so no batch waits for its longest row.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from selfalign.data.errors import EngineError
from selfalign.generation.engines import packed
from selfalign.generation.engines.base import Completion, Request
from selfalign.generation.engines.models import model_digest
from selfalign.generation.engines.sampling import choose_tokens

_PROMPT_TOKENS = 1024  # of rows that begin in one forward pass: bounds its memory


@dataclass
class _Row:
    """A request on its way: its prompt's tokens without the shared prefix, and what has been generated."""

    request: Request
    prompt: list[int]
    prefix: packed.Prefix | None
    computed: int = 0  # prompt tokens computed for this row
    tokens: list[int] = field(default_factory=list)
    segments: list[tuple[list[int], list[tuple[int, int]]]] = field(default_factory=list)  # judge: (tokens, [(choice, its token)])

    @property
    def length(self) -> int:
        """Tokens of its own whose keys and values are known: all but the newest."""
        return len(self.prompt) + len(self.tokens) - 1

    @property
    def prompt_tokens(self) -> int:
        return len(self.prompt) + len(self.prefix or ())


class TransformersEngine:
    """`model` and `engine` are these parts of the config. EngineError, in one line, if the model cannot be used."""

    def __init__(self, model: dict, engine: dict):
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.path, self._revision, self._dtype = model["path"], model["revision"] or None, engine["dtype"]
        self.device = torch.device(engine["device"])
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise EngineError(f"engine.device {engine['device']}: no CUDA device here; set engine.device to cpu")
        torch.set_num_threads(engine["threads"])
        self.batch_size = engine["batch_size"]
        self.gpus = int(self.device.type == "cuda")
        config = _loaded(self.path, "config", lambda: AutoConfig.from_pretrained(self.path, revision=self._revision))
        _check_architecture(self.path, config)
        self.tokenizer = _loaded(self.path, "tokenizer", lambda: AutoTokenizer.from_pretrained(self.path, revision=self._revision))
        if not self.tokenizer.encode("a", add_special_tokens=False):  # what transformers makes of a folder without its files
            raise EngineError(f"model {self.path}: the folder has no usable tokenizer; set model.path to a complete model")
        self._start = _start_tokens(self.tokenizer)
        limit = getattr(config, "max_position_embeddings", None) or 0
        if model["context"] and limit and model["context"] > limit:
            raise EngineError(f"model.context {model['context']} is more than model {self.path} can take ({limit}); lower it, or set it to 0")
        self.context = model["context"] or limit
        if not self.context:
            raise EngineError(f"model {self.path}: its config does not say how long a text it takes; set model.context")
        digest = model_digest(self.path, getattr(config, "_commit_hash", None))
        facts = (transformers.__version__, torch.__version__, self._dtype, self.device.type, self.context, digest)
        self.fingerprint = hashlib.sha256("\n".join(["transformers 1", *map(str, facts)]).encode()).hexdigest()
        self._loaded_model: Any = None
        self._ends: set[int] = set()

    @property
    def model(self) -> Any:
        """The weights, loaded when they are first needed: where the cache answers all requests they never are."""
        if self._loaded_model is None:
            dtype = self._dtype if self._dtype == "auto" else getattr(torch, self._dtype)
            self._loaded_model = _load_weights(self.path, self._revision, dtype, self.device)
            ends = [self.tokenizer.eos_token_id, getattr(self._loaded_model.generation_config, "eos_token_id", None)]
            self._ends = {end for part in ends for end in (part if isinstance(part, list) else [part]) if end is not None}
            self._check_attention()
        return self._loaded_model

    def close(self) -> None:
        """Give back the model's memory."""
        self._loaded_model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """One completion per request, as rows end. Requests with one prefix are taken together.

        prompt_too_long: prompt plus max_new_tokens (or the longest choice) exceeds the context, so that a row which
        gets a completion always had the whole of its max_new_tokens.
        """
        groups: dict[str, list[Request]] = {}
        for request in requests:
            groups.setdefault(request.prefix, []).append(request)
        queue = deque(request for group in groups.values() for request in group)
        try:
            yield from self._work(queue)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise EngineError(f"out of memory on {self.device} with engine.batch_size {self.batch_size}; lower it") from error
            raise

    def _work(self, queue: deque[Request]) -> Iterator[Completion]:
        cache = packed.RowCache(self.batch_size)
        active: list[_Row] = []  # by slot: always slots 0, 1, ... without a gap
        prefixes: dict[str, packed.Prefix] = {}  # those that active rows and the next request need
        while queue or active:
            begin: list[_Row] = []
            later: list[Request] = []  # samples of a prompt that begins in this pass: after it, its keys and values are known
            known = {(row.request.prefix, row.request.prompt): slot for slot, row in enumerate(active)}
            budget = _PROMPT_TOKENS
            while queue and len(active) + len(begin) + len(later) < self.batch_size and budget > 0:
                request = queue.popleft()
                text = (request.prefix, request.prompt)
                if text in known and known[text] < 0:
                    later.append(request)
                    continue
                prefix, computed = prefixes.get(request.prefix), 0
                if prefix is None and request.prefix:
                    prefix = prefixes[request.prefix] = self._compute_prefix(request.prefix, cache)
                    computed = len(prefix)
                row = self._row(request, prefix)
                if isinstance(row, Completion):
                    yield replace(row, computed_tokens=computed)
                elif text in known and not row.segments:
                    cache.copy(known[text], len(active), len(row.prompt) - 1)
                    row.computed = computed + 1
                    active.append(row)
                else:
                    row.computed = computed + len(row.prompt)
                    begin.append(row)
                    budget -= sum(len(tokens) for tokens, _ in row.segments) or len(row.prompt)
                    if not row.segments:
                        known[text] = -1
            queue.extendleft(reversed(later))
            yield from self._step(active, begin, cache)
            needed = {row.request.prefix for row in active} | {request.prefix for request in islice(queue, 1)}
            prefixes = {text: prefix for text, prefix in prefixes.items() if text in needed}

    def _row(self, request: Request, prefix: packed.Prefix | None) -> _Row | Completion:
        """The row of a request, or its completion where the prompt is too long."""
        prompt = self._encode(request.prompt)
        if prefix is None:
            prompt = self._begun(prompt)
        if not prompt:
            raise EngineError(f"request {request.id}: the prompt after its shared prefix is empty")
        row = _Row(request, prompt, prefix)
        choices = [self._encode(choice) for choice in request.choices]
        if any(not choice for choice in choices):
            raise EngineError(f"request {request.id}: a choice has no token")
        new = max(map(len, choices), default=request.max_new_tokens)
        if row.prompt_tokens + new > self.context:
            detail = f"{row.prompt_tokens} prompt tokens and {new} new ones, context {self.context}"
            return Completion(request.id, "", "prompt_too_long", detail, row.prompt_tokens)
        # Choices that differ in their last token only need one pass over the prompt.
        wanted: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for number, choice in enumerate(choices):
            for end in range(len(choice)):
                wanted.setdefault(tuple(choice[:end]), []).append((number, choice[end]))
        row.segments = [([*prompt, *before], after) for before, after in wanted.items()]
        return row

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def _begun(self, tokens: list[int]) -> list[int]:
        """`tokens` with what the tokenizer puts before a text, unless the text brings it itself."""
        if tokens[: len(self._start)] == self._start:
            return tokens
        return self._start + tokens

    def _compute_prefix(self, text: str, cache: packed.RowCache) -> packed.Prefix:
        """Keys and values of a shared prefix; without them if it leaves no room for a prompt."""
        prefix = packed.Prefix(self._begun(self._encode(text)))
        if len(prefix) < self.context:
            self._forward([], [packed.Segment(prefix.tokens, None, store=prefix)], cache, [0])
        return prefix

    @torch.inference_mode()
    def _forward(self, decoding: list, segments: list[packed.Segment], cache: packed.RowCache, keep: list[int]) -> torch.Tensor:
        """Logits (len(keep), vocabulary) at the flat sequence's tokens `keep`."""
        plan = packed.Plan(decoding, segments, cache, self.device)
        at = torch.tensor(keep, device=self.device)
        return self.model(input_ids=plan.tokens, position_ids=plan.positions, use_cache=False, logits_to_keep=at, plan=plan).logits[0]

    @torch.inference_mode()
    def _step(self, active: list[_Row], begin: list[_Row], cache: packed.RowCache) -> list[Completion]:
        """One token for each active row, and the first one for each row that begins: the rows that end. `active` is changed in place."""
        decoding = [((row.tokens or row.prompt)[-1], row.length, row.prefix) for row in active]
        segments, keep = [], list(range(len(active)))
        judged: list[tuple[_Row, int, list[tuple[int, int]]]] = []  # (row, its place in keep, choices there)
        end = len(active)
        for row in sorted(begin, key=lambda row: bool(row.segments)):
            for tokens, choices in row.segments or [(row.prompt, [])]:
                segments.append(packed.Segment(tokens, row.prefix, slot=-1 if row.segments else len(active)))
                end += len(tokens)
                if choices:
                    judged.append((row, len(keep), choices))
                keep.append(end - 1)
            if not row.segments:
                active.append(row)
        if not keep:
            return []
        logits = self._forward(decoding, segments, cache, keep)
        ended = _judge(judged, logits) if judged else []
        if active:
            temperatures = np.array([row.request.temperature for row in active])
            seeds = np.array([row.request.seed for row in active])
            positions = np.array([len(row.tokens) for row in active])
            chosen = choose_tokens(logits[: len(active)], temperatures, seeds, positions)
            done = []
            for slot, (row, token) in enumerate(zip(active, chosen, strict=True)):
                row.tokens.append(token)
                if completion := self._finished(row):
                    done.append(slot)
                    ended.append(completion)
            # From the last slot down, so that the row that moves into a gap is never one that is done.
            for slot in reversed(done):
                last = active.pop()
                if slot < len(active):
                    cache.copy(len(active), slot, last.length)
                    active[slot] = last
        return ended

    def _finished(self, row: _Row) -> Completion | None:
        """The row's completion if its newest token ends it: by an end token, by a stop string, or by the limit."""
        request, tokens = row.request, row.tokens
        reason = ""
        if tokens[-1] in self._ends:
            reason, tokens = "stop", tokens[:-1]
        elif request.stop:
            # A token has at least one byte: a stop string that ends in the newest token lies within this many tokens.
            window = self._decode(tokens[-max(len(stop.encode()) for stop in request.stop) - 3 :])
            if any(stop in window for stop in request.stop):
                reason = "stop"
        if not reason and len(tokens) >= request.max_new_tokens:
            reason = "length"
        if not reason:
            return None
        before = row.prompt[-1:]  # some tokenizers drop the space at a text's beginning
        text = self._decode(before + tokens)[len(self._decode(before)) :]
        cuts = [at for stop in request.stop if (at := text.find(stop)) >= 0]
        text = text[: min(cuts)] if cuts else text
        return Completion(request.id, text, reason, "", row.prompt_tokens, row.computed, len(row.tokens))

    def _decode(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _check_attention(self) -> None:
        """EngineError unless packed_attention gives this model the logits that its own attention gives."""
        tokens = [at % self.model.config.get_text_config().vocab_size for at in range(3, 19)]
        with torch.inference_mode():
            self.model.set_attn_implementation("eager")
            expected = self.model(input_ids=torch.tensor([tokens], device=self.device), use_cache=False).logits[0, -2:]
            self.model.set_attn_implementation(packed.NAME)
            cache = packed.RowCache(2)
            prefix = packed.Prefix(tokens[:7])
            self._forward([], [packed.Segment(prefix.tokens, None, store=prefix)], cache, [0])
            rows = [packed.Segment(tokens[7:15], prefix, slot=0), packed.Segment(tokens[:15], None, slot=1)]
            first = self._forward([], rows, cache, [7, 22])
            second = self._forward([(tokens[15], 8, prefix), (tokens[15], 15, None)], [], cache, [0, 1])
        error = max((first - expected[0]).abs().max().item(), (second - expected[1]).abs().max().item())
        # The reference has float32 inside also for float64; the difference to wrong attention is of the order of 1.
        bound = 1e-3 if self.model.dtype in (torch.float64, torch.float32) else 0.1
        if not error <= bound * expected.abs().max().item():
            raise EngineError(f"{type(self.model).__name__}: the transformers engine does not suit this model; set engine.kind to vllm or openai")


def _judge(judged: list, logits: torch.Tensor) -> list[Completion]:
    """The completions of requests with choices, from the logits at the places before each token of each choice."""
    sums: dict[int, tuple[_Row, list[float]]] = {}
    logprobs = torch.log_softmax(logits[[at for _, at, _ in judged]].double(), -1)
    for (row, _, choices), line in zip(judged, logprobs, strict=True):
        _, total = sums.setdefault(id(row), (row, [0.0] * len(row.request.choices)))
        for number, token in choices:
            total[number] += line[token].item()
    return [_judged(row, total) for row, total in sums.values()]


def _judged(row: _Row, logprobs: list[float]) -> Completion:
    best = row.request.choices[max(range(len(logprobs)), key=logprobs.__getitem__)]
    return Completion(row.request.id, best, "stop", "", row.prompt_tokens, row.computed, 1, tuple(logprobs))


def _loaded(path: str, what: str, load: Any) -> Any:
    try:
        return load()
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        if Path(path).is_dir():
            hint = f"the folder has no usable {what}"
        elif path.startswith((".", "/")) or path.count("/") != 1:
            hint = "no such folder"
        else:
            hint = f"neither a folder nor to be had from the hub ({what}: {_first_line(error)})"
        raise EngineError(f"model {path}: {hint}; set model.path to a complete model") from error


def _check_architecture(path: str, config: Any) -> None:
    names = getattr(config, "architectures", None) or []
    if config.is_encoder_decoder or (names and not any("CausalLM" in name or "LMHead" in name for name in names)):
        raise EngineError(f"model {path}: {', '.join(names) or config.model_type} is not a causal language model; set model.path to one")


def _load_weights(path: str, revision: str | None, dtype: Any, device: torch.device) -> Any:
    def load() -> Any:
        return AutoModelForCausalLM.from_pretrained(path, revision=revision, dtype=dtype, output_loading_info=True)

    try:
        model, info = _loaded(path, "weights", load)
        if info["missing_keys"]:
            raise EngineError(f"model {path}: its weights lack {sorted(info['missing_keys'])[0]}; set model.path to a complete model")
        return model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise EngineError(f"model {path} does not fit into the memory of {device}; use a smaller engine.dtype or another device") from error


def _start_tokens(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text by itself: the BOS token, or nothing."""
    with_special = tokenizer.encode("a")
    return with_special[:1] if with_special and with_special[0] == tokenizer.bos_token_id else []


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
