"""judge_seeds: does the docstring say enough to write the function again? The model's log-probabilities of Yes and No decide."""

import math
import re

import pyarrow as pa

from selfalign.data.errors import ConfigError
from selfalign.data.files import to_dropped, to_table
from selfalign.generation.engines.base import Completion, Engine
from selfalign.generation.fewshot import Judged
from selfalign.generation.prompts import question
from selfalign.generation.steps import Advance, Asked, Rejected, ask_for, complete

CHOICES = ("Yes", "No")
_DECIMALS = 6  # of a score: beyond these it may depend on the rows that were computed beside it
_VERDICT = re.compile(r"\s*(yes|no)\b", re.IGNORECASE)


def judge_seeds(functions: pa.Table, prompts: dict, engine: Engine, cfg: dict, advance: Advance | None = None) -> tuple[pa.Table, pa.Table]:
    """(seeds, dropped) of a shard of functions.

    A function is kept if log P(Yes) - log P(No), to 6 decimals, is above cfg["judge_threshold"]; where the engine has no
    log-probabilities, if its completion begins with Yes.
    """
    if cfg["judge"]["draws"] != 1:
        raise ConfigError(f"judge.draws is {cfg['judge']['draws']}; a function is judged once: set it to 1")
    asked = ask_for_verdicts(functions.to_pylist(), prompts, cfg)
    kept, dropped = complete("judge_seeds", asked, engine, lambda completion: judge_score(completion, cfg["judge_threshold"]), advance)
    rows = [{**row.parent, "judge": "yes", "score": score} for row, score in kept]
    return to_table(rows, "seeds"), to_dropped(dropped)


def ask_for_verdicts(functions: list[dict], prompts: dict, cfg: dict) -> list[Asked]:
    """The rows that are asked for, with their prompts."""
    return ask_for("judge_seeds", functions, prompts, cfg, lambda row, _: question("judge", Judged(row["content"], "")), CHOICES)


def judge_score(completion: Completion, threshold: float) -> float | None:
    """log P(Yes) - log P(No) of a good seed, None if the engine has no log-probabilities; Rejected for any other."""
    if completion.logprobs:
        score = round(completion.logprobs[0] - completion.logprobs[1], _DECIMALS)
        if math.isnan(score):
            raise Rejected("unparsable", f"log-probabilities {completion.logprobs}")
        if not score > threshold:
            raise Rejected("judged_no", f"score {score}")
        return score
    verdict = _VERDICT.match(completion.text)
    if verdict is None:
        raise Rejected("unparsable", repr(completion.text[:80]))
    if verdict.group(1).lower() == "no":
        raise Rejected("judged_no")
    return None
