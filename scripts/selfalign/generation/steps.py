"""What the four model steps share: asking for rows, and accounting for each of them.

A step asks for its rows (parents times draws), hands the requests to an engine, and parses each completion; a row whose
completion cannot be used is dropped with a reason of its step.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from selfalign.data.errors import EngineError
from selfalign.data.ids import row_id, row_seed
from selfalign.generation.checks import find_loop, is_refusal
from selfalign.generation.draws import Prefixes
from selfalign.generation.engines.base import Completion, Engine, Request

T = TypeVar("T")
Advance = Callable[..., None]  # data.job.Progress.advance


class Rejected(ValueError):
    """A completion that cannot be used; `reason` is a documented one of its step."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Asked:
    """A row that is asked for."""

    id: str
    parent: dict
    draw: int
    prefix: int  # number of the few-shot draw, -1 for one of its own
    request: Request


def ask_for(
    rule: str,
    parents: Iterable[dict],
    prompts: dict,
    cfg: dict,
    question: Callable[[dict, str], str],
    choices: tuple[str, ...] = (),
    one_prompt: bool = False,
) -> list[Asked]:
    """The rows that `rule` is to make: `draws` of each parent (a row with an `id`).

    prompts: content of results/prompts/<step>.json. cfg: the config with at least `seed` and the step's part.
    question(parent, row id): the open example. choices: compare these instead of sampling; such a row keeps its parent's id.
    one_prompt: all draws of a parent begin with the same few-shot draw.
    """
    part, prefixes = cfg[prompts["step"]], Prefixes(prompts)
    asked = []
    for parent in parents:
        for draw in range(part["draws"]):
            row = parent["id"] if choices else row_id(rule, parent["id"], draw)
            frame = prefixes.of(parent["id"] if one_prompt else row)
            prompt = frame.around(question(parent, row))
            seed = row_seed(cfg["seed"], row, rule)
            request = Request(row, frame.shared, prompt, seed, part["temperature"], part["max_new_tokens"], prefixes.stop, choices)
            asked.append(Asked(row, parent, draw, frame.number, request))
    # Rows with one prefix, and among them those with one prompt, follow each other, so that an engine computes each once.
    return sorted(asked, key=lambda row: (row.prefix, row.parent["id"], row.draw))


def complete(
    rule: str, asked: list[Asked], engine: Engine, parse: Callable[[Completion], T], advance: Advance | None = None
) -> tuple[list[tuple[Asked, T]], list[dict]]:
    """What `parse` makes of each row's completion, and the dropped rows (as data.files.to_dropped takes them).

    parse raises Rejected for a completion that cannot be used. EngineError if the engine failed on every row, or lost one.
    """
    waiting = {row.id: row for row in asked}
    if len(waiting) != len(asked):
        raise ValueError(f"{rule}: two rows with one id")
    kept: list[tuple[Asked, T]] = []
    dropped: list[dict] = []
    for completion in engine.complete([row.request for row in asked]):
        row = waiting.pop(completion.id)
        try:
            kept.append((row, parse(_usable(completion))))
        except Rejected as rejected:
            dropped.append(
                {"id": row.id, "parent_id": row.parent["id"], "step": rule, "reason": rejected.reason, "detail": " ".join(rejected.detail.split())}
            )
        if advance is not None:
            advance(1, tokens=completion.output_tokens)
    if waiting:
        raise EngineError(f"{rule}: the engine gave no answer for {len(waiting)} of {len(asked)} rows, among them {min(waiting)}; run again")
    failed = [row for row in dropped if row["reason"] == "engine_failed"]
    if failed and len(failed) == len(asked):
        raise EngineError(f"all {len(asked)} model calls failed, the first with: {failed[0]['detail']}")
    return kept, dropped


def _usable(completion: Completion) -> Completion:
    if completion.finish_reason == "failed":
        raise Rejected("engine_failed", completion.detail)
    if completion.finish_reason == "prompt_too_long":
        raise Rejected("prompt_too_long", completion.detail)
    return completion


def finished_text(completion: Completion) -> str:
    """The completion's text without blank margins. Rejected if it did not come to an end, loops or declines."""
    text = completion.text.strip()
    if completion.finish_reason == "length":
        raise Rejected("length_stop", f"{completion.output_tokens} tokens")
    if loop := find_loop(text):
        raise Rejected("repetition", f"{loop[:80]!r} again and again")
    if is_refusal(text):
        raise Rejected("refusal", text[:80])
    return text
