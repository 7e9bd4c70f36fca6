"""The one interface of all engines: requests in, completions out, and what they cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

FINISH_REASONS = ("stop", "length", "failed", "prompt_too_long")


@dataclass(frozen=True)
class Request:
    """One completion that is asked for. The prompt is `prefix + prompt`; requests with an equal prefix share its computation."""

    id: str  # of the row to be made
    prefix: str  # shared part of the prompt, "" if none
    prompt: str  # the rest of the prompt
    seed: int  # data.ids.row_seed
    temperature: float  # 0 is greedy
    max_new_tokens: int
    stop: tuple[str, ...]
    choices: tuple[str, ...] = ()  # compare these continuations by log-probability instead of sampling


@dataclass(frozen=True)
class Completion:
    """What an engine made of a request."""

    id: str
    text: str  # without the stop string; the likeliest choice where choices were given
    finish_reason: str  # one of FINISH_REASONS
    detail: str = ""
    prompt_tokens: int = 0
    computed_tokens: int = 0  # prompt tokens that were not answered from a shared prefix
    output_tokens: int = 0
    logprobs: tuple[float, ...] = ()  # of the choices; empty if the engine has none
    cached: bool = False  # answered from the request cache


class Engine(Protocol):
    """Makes completions."""

    fingerprint: str  # of everything about model and engine that determines a completion

    @property
    def gpus(self) -> int:
        """How many it occupies, as far as it knows: 0 for a server's."""
        ...

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """One completion for each request, as they finish, in any order. EngineError if none can be made at all."""
        ...

    def close(self) -> None:
        """Give back memory, connections and files."""
        ...


@dataclass
class Usage:
    """What the completions of a job cost. Token counts cover all requests, `cached` those that the request cache answered."""

    requests: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    output_tokens: int = 0
    finish: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FINISH_REASONS, 0))
    cached: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("requests", "prompt_tokens", "computed_tokens", "output_tokens"), 0))

    def add(self, completion: Completion) -> None:
        """Count one completion."""
        self.requests += 1
        self.prompt_tokens += completion.prompt_tokens
        self.computed_tokens += completion.computed_tokens
        self.output_tokens += completion.output_tokens
        self.finish[completion.finish_reason] += 1
        if completion.cached:
            self.cached["requests"] += 1
            self.cached["prompt_tokens"] += completion.prompt_tokens
            self.cached["computed_tokens"] += completion.computed_tokens
            self.cached["output_tokens"] += completion.output_tokens
