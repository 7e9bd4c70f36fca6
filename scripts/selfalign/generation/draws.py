"""A step's few-shot draws: made once (results/prompts/<step>.json), then each row finds the beginning of its prompt here.

The examples of a step come in a fixed number of draws; each row is assigned one by its id, so that a prefix cache computes
a draw once. `per-row` draws anew for each row, as the published code does.

The file also says how often each example and each order of examples was drawn, and holds the examples themselves, so that any
prompt of a run can be written out again.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from selfalign.data.errors import ConfigError, InputError
from selfalign.data.ids import generator
from selfalign.generation.fewshot import Example, FewShot, Judged
from selfalign.generation.prompts import STOP, render_prefix

PER_ROW = "per-row"
LANGUAGE = "Python"  # of all instructions


class Frame(NamedTuple):
    """What is around a row's question."""

    number: int  # of the draw, -1 for one of the row alone
    shared: str  # text before it that all rows of the draw begin with
    own: str  # text before it of this row alone
    after: str  # text between it and the answer: nothing but in a conversation

    def around(self, question: str) -> str:
        """The row's own part of its prompt."""
        return self.own + (question.strip() + self.after if self.after else question)


def draw_prompts(fewshot: FewShot, step: str, cfg: dict, seed: int, chat: dict | None = None) -> dict:
    """The content of results/prompts/<step>.json; `cfg` is the step's part of the config, `chat` the model (path, revision) if it is to be
    asked through its chat template.

    draws: [{draw, examples (their indices), prefix, after (texts)}], empty for `per-row`, where each row's draw is made from its id.
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
        "chat": chat,
        "system": fewshot.system[step],
        "examples": [asdict(example) for example in examples],
    }
    draws, render = [], _form(prompts)
    for draw in range(0 if cfg["prefixes"] == PER_ROW else cfg["prefixes"]):
        indices = _draw(prompts, str(draw))
        prefix, after = render(step, fewshot.system[step], [examples[at] for at in indices])
        draws.append({"draw": draw, "examples": indices, "prefix": prefix, "after": after})
    return {**prompts, "draws": draws, "usage": _usage(len(examples), [tuple(draw["examples"]) for draw in draws])}


class Prefixes:
    """Which few-shot draw a row's prompt begins with. `prompts` is what draw_prompts made."""

    def __init__(self, prompts: dict):
        self._prompts = prompts
        parts: list[dict[str, Any]]
        parts = [{name: tuple(value) if isinstance(value, list) else value for name, value in item.items()} for item in prompts["examples"]]
        self._examples = [Judged(**part) if prompts["step"] == "judge" else Example(**part) for part in parts]
        self._render = _form(prompts) if prompts["prefixes"] == PER_ROW else None
        # In a conversation the model ends its own turn.
        self.stop = () if prompts["chat"] else (STOP,)

    def of(self, row: str) -> Frame:
        """What is around a row's question; nothing is shared for `per-row`."""
        prompts = self._prompts
        if self._render is None:
            number = generator(prompts["seed"], row, f"prefix {prompts['step']}").randrange(prompts["prefixes"])
            return Frame(number, prompts["draws"][number]["prefix"], "", prompts["draws"][number]["after"])
        own, after = self._render(prompts["step"], prompts["system"], [self._examples[at] for at in _draw(prompts, row)])
        return Frame(-1, "", own, after)


def count_usage(prompts: dict, asked: Mapping[str, int]) -> dict:
    """How many rows were shown each example, how many saw it first, and how many each order ("2-0-1"); `own` are rows with a draw of their own.

    asked: number of rows by shared prefix.
    """
    draws = {draw["prefix"]: [str(at) for at in draw["examples"]] for draw in prompts["draws"]}
    usage: dict[str, Counter[str]] = {"shown": Counter(), "first": Counter(), "orders": Counter()}
    for prefix, rows in asked.items():
        examples = draws.get(prefix, [])
        usage["shown"] += Counter(dict.fromkeys(examples, rows))
        usage["first"] += Counter(dict.fromkeys(examples[:1], rows))
        usage["orders"]["-".join(examples) or "own"] += rows
    return {name: dict(sorted(counts.items())) for name, counts in usage.items()}


def _form(prompts: dict) -> Callable[..., tuple[str, str]]:
    """A function (step, system line, examples) -> (text before the question, text after it)."""
    if prompts["chat"]:
        from selfalign.generation.chat import ChatForm  # only here: it takes transformers

        return ChatForm(**prompts["chat"]).render
    return lambda step, system, examples: (render_prefix(step, system, examples), "")


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


def draw_properties(row: str, cfg: Mapping) -> dict[str, str]:
    """Category, language and difficulty of the instruction with this id. cfg: the config with seed, categories and difficulties."""
    category, difficulty = (generator(cfg["seed"], row, name).choice(cfg[name]) for name in ("categories", "difficulties"))
    return {"category": category, "language": LANGUAGE, "difficulty": difficulty}
