"""A step's few-shot draws: made once (results/prompts/<step>.json), then each row finds the beginning of its prompt here.

The examples of a step come in a fixed number of draws; each row is assigned one by its id, so that a prefix cache computes
a draw once. `per-row` draws anew for each row, as the published code does.

The file also says how often each example and each order of examples was drawn, and holds the examples themselves, so that any
prompt of a run can be written out again.
"""

from collections import Counter
from dataclasses import asdict

from selfalign.data.errors import ConfigError, InputError
from selfalign.data.ids import generator
from selfalign.generation.fewshot import Example, FewShot, Judged
from selfalign.generation.prompts import render_prefix

PER_ROW = "per-row"


def draw_prompts(fewshot: FewShot, step: str, cfg: dict, seed: int) -> dict:
    """The content of results/prompts/<step>.json; `cfg` is the step's part of the config.

    draws: [{draw, examples (their indices), prefix (text)}], empty for `per-row`, where each row's draw is made from its id.
    usage: how many draws begin with, and contain, each example, and how many have each order.
    """
    examples, count = fewshot.serving(step), cfg["examples"]
    if not fewshot.system[step]:
        raise InputError(f"few-shot file: it has no system line for step {step!r}; docs/fewshot.md says how to add one")
    if len(examples) < count:
        raise ConfigError(f"{step}.examples is {count}, but {len(examples)} examples of the few-shot file serve this step; lower it or write more")
    prompts = {
        "step": step,
        "seed": seed,
        "count": count,
        "prefixes": cfg["prefixes"],
        "system": fewshot.system[step],
        "examples": [asdict(example) for example in examples],
    }
    draws = []
    for draw in range(0 if cfg["prefixes"] == PER_ROW else cfg["prefixes"]):
        indices = _draw(prompts, str(draw))
        draws.append({"draw": draw, "examples": indices, "prefix": render_prefix(step, fewshot.system[step], [examples[at] for at in indices])})
    return {**prompts, "draws": draws, "usage": _usage(len(examples), [tuple(draw["examples"]) for draw in draws])}


class Prefixes:
    """Which few-shot draw a row's prompt begins with. `prompts` is what draw_prompts made."""

    def __init__(self, prompts: dict):
        self._prompts = prompts
        kind = Judged if prompts["step"] == "judge" else Example
        self._examples = [kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in item.items()}) for item in prompts["examples"]]

    def of(self, row: str) -> tuple[int, str, str]:
        """(number of the draw, shared text, text of this row alone); the number is -1 and nothing shared for `per-row`."""
        prompts = self._prompts
        if prompts["prefixes"] != PER_ROW:
            number = generator(prompts["seed"], row, f"prefix {prompts['step']}").randrange(prompts["prefixes"])
            return number, prompts["draws"][number]["prefix"], ""
        chosen = [self._examples[at] for at in _draw(prompts, row)]
        return -1, "", render_prefix(prompts["step"], prompts["system"], chosen)


def _draw(prompts: dict, draw: str) -> list[int]:
    """The indices of a draw's examples, in random order, the same for the same (seed, step, draw)."""
    return generator(prompts["seed"], draw, f"few-shot {prompts['step']}").sample(range(len(prompts["examples"])), prompts["count"])


def _usage(examples: int, draws: list[tuple[int, ...]]) -> dict:
    contains = Counter(at for draw in draws for at in draw)
    begins = Counter(draw[0] for draw in draws if draw)
    return {
        "examples": [{"example": at, "draws": contains[at], "first": begins[at]} for at in range(examples)],
        "orders": [{"examples": list(order), "draws": times} for order, times in sorted(Counter(draws).items())],
    }
