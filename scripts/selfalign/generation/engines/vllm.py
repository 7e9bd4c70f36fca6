"""The vllm engine: vLLM in this process, with its own prefix cache and continuous batching.

A completion depends on the row's seed, but with the number types of GPUs rounding also depends on the rows computed beside it, so
that now and then a token differs from run to run. Choices are compared by their first tokens: Yes and No have one each in common tokenizers.
"""

import hashlib
from collections.abc import Iterator, Sequence

from selfalign.data.errors import EngineError
from selfalign.generation.engines.base import Completion, Request


class VllmEngine:
    """`model` and `engine` are these parts of the config. EngineError, in one line, if vLLM is missing or cannot load the model."""

    def __init__(self, model: dict, engine: dict):
        try:
            import torch
            import vllm
            from vllm.v1.engine.exceptions import EngineDeadError
        except ImportError as error:
            raise EngineError(
                f"engine.kind vllm: the package cannot be imported ({error}); install vllm==0.32.0, or set engine.kind to transformers"
            ) from error
        if engine["dtype"] == "float64":
            raise EngineError("engine.dtype float64: vLLM does not have it; set engine.dtype to bfloat16 or auto")
        self._vllm, self._dead = vllm, EngineDeadError
        try:
            self._llm = vllm.LLM(
                model=model["path"],
                revision=model["revision"] or None,
                dtype=engine["dtype"],
                tensor_parallel_size=engine["tensor_parallel"],
                max_model_len=model["context"] or None,
                max_num_seqs=engine["batch_size"],
                enable_prefix_caching=True,
                enforce_eager=not torch.cuda.is_available(),  # compiling for a CPU takes longer than it saves
                # Log-probabilities after `allowed_token_ids`: those of the choices, whatever their rank.
                logprobs_mode="processed_logprobs",
                seed=0,
                disable_log_stats=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"model {model['path']}: vLLM cannot load it ({' '.join(str(error).split())[:300]})") from error
        self._calls = 0
        self._tokenizer = self._llm.get_tokenizer()
        self._context = self._llm.llm_engine.model_config.max_model_len
        facts = (vllm.__version__, model["path"], model["revision"], engine["dtype"], self._context)
        self.fingerprint = hashlib.sha256("\n".join(["vllm 1", *map(str, facts)]).encode()).hexdigest()

    def close(self) -> None:
        """Give back the model's memory."""
        self._llm = None

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """One completion per request, as they finish. prompt_too_long: prompt plus max_new_tokens exceeds the context."""
        engine = self._llm.llm_engine
        waiting: dict[str, Request] = {}  # by a name of this call alone: outputs of a call that was left early may still come
        self._calls += 1
        for request in requests:
            tokens = self._tokenizer.encode(request.prefix + request.prompt)
            new = 1 if request.choices else request.max_new_tokens
            if len(tokens) + new > self._context:
                detail = f"{len(tokens)} prompt tokens and {new} new ones, context {self._context}"
                yield Completion(request.id, "", "prompt_too_long", detail, len(tokens))
                continue
            name = f"{self._calls}-{request.id}"
            waiting[name] = request
            engine.add_request(name, {"prompt_token_ids": tokens}, self._sampling(request))
        try:
            while waiting:
                for output in engine.step():
                    if output.finished and output.request_id in waiting:
                        yield self._completion(waiting.pop(output.request_id), output)
        except self._dead as error:
            waiting.clear()
            raise EngineError(
                f"vLLM's engine has died ({' '.join(str(error).split())[:200]}); its own message is above, or in the job's log"
            ) from error
        finally:
            if waiting:
                engine.abort_request(list(waiting))

    def _sampling(self, request: Request):
        if request.choices:
            first = self._first_tokens(request.choices)
            return self._vllm.SamplingParams(max_tokens=1, temperature=0.0, seed=request.seed, logprobs=len(first), allowed_token_ids=first)
        return self._vllm.SamplingParams(
            max_tokens=request.max_new_tokens, temperature=request.temperature, seed=request.seed, stop=list(request.stop)
        )

    def _first_tokens(self, choices: tuple[str, ...]) -> list[int]:
        first = [self._tokenizer.encode(choice, add_special_tokens=False)[0] for choice in choices]
        if len(set(first)) < len(first):
            raise EngineError(f"choices {choices}: two begin with the same token, so vLLM's log-probabilities cannot tell them apart")
        return first

    def _completion(self, request: Request, output) -> Completion:
        (made,) = output.outputs
        prompt_tokens = len(output.prompt_token_ids)
        cost = (prompt_tokens, prompt_tokens - (output.num_cached_tokens or 0), len(made.token_ids))
        if request.choices:
            # Relative to each other: the probability of the choices' first tokens together counts as 1.
            logprobs = tuple(made.logprobs[0][token].logprob for token in self._first_tokens(request.choices))
            best = request.choices[max(range(len(logprobs)), key=logprobs.__getitem__)]
            return Completion(request.id, best, "stop", "", *cost, logprobs)
        if made.finish_reason not in ("stop", "length"):
            return Completion(request.id, "", "failed", f"vLLM ended the request with {made.finish_reason}")
        return Completion(request.id, made.text, made.finish_reason, "", *cost)
