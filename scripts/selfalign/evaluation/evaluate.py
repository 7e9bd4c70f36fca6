"""Scores of a model on a benchmark: greedy pass@1 and the mean pass rate of sampled answers.

All problems go through the engine in one call, and each distinct program runs once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from selfalign.data.errors import EngineError
from selfalign.data.ids import row_id, row_seed
from selfalign.data.job import Progress
from selfalign.evaluation.intervals import bootstrap, pass_at, wilson
from selfalign.evaluation.kinds import kind_of, load_tasks
from selfalign.evaluation.livecodebench import RepairTask
from selfalign.evaluation.programs import execution_for, judge_solutions
from selfalign.evaluation.rows import check_digest
from selfalign.evaluation.task import FORMS, Task
from selfalign.execution import execute
from selfalign.generation.engines import Completion, Engine, Request, open_engine
from selfalign.training.model import load_tokenizer
from selfalign.training.template import special_tokens

NOT_RUN = "prompt_too_long"  # the one verdict beside those of the sandbox


@dataclass(frozen=True)
class Answer:
    """One answer to one problem and what became of it."""

    completion: str
    finish_reason: str
    verdict: str  # passed, a key of data.tables.VERDICTS, or prompt_too_long
    detail: str

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


def evaluate_model(cfg: dict, data: Sequence[str], tuned: str | None, cache_dir: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(result, cost) of the base model, or of the tuned one in folder `tuned`, on the benchmark in the files `data`.

    cfg: the config's model, engine, execution, seed, and evaluation with one item in `benchmarks`. The cost is what its completions
    cost, as in the model steps.
    """
    benchmark = cfg["evaluation"]["benchmarks"][0]
    problems = load_tasks(benchmark, data, cfg["seed"])
    cfg = {**cfg, "execution": {**cfg["execution"], "python": benchmark["python"] or cfg["execution"]["python"]}}
    which = "base" if tuned is None else "tuned"
    model = cfg["model"] if tuned is None else {**cfg["model"], "path": tuned, "revision": ""}
    tokenizer = load_tokenizer(model)
    engine = open_engine(model, cfg["engine"], cache_dir)
    try:
        forms = cfg["evaluation"]["base_prompts"] if tuned is None else ["chat"]
        result = evaluate(problems, engine, tokenizer, forms, cfg, cache_dir, f"{benchmark['name']} {which}")
    finally:
        engine.close()
    kind = kind_of(benchmark["name"])
    origin = {"title": kind.title, "data": [str(path) for path in data], "sha256": check_digest(data)}
    cost = {"fingerprint": engine.fingerprint, **asdict(engine.usage)}
    return {"benchmark": benchmark["name"], "which": which, **origin, **result}, cost


def evaluate(
    problems: Sequence[Task], engine: Engine, tokenizer: Any, forms: Sequence[str], cfg: dict, cache_dir: str | None, label: str
) -> dict[str, Any]:
    """The result of one model on one benchmark: counts, scores, groups, and an item per problem.

    cfg: the config's evaluation, execution and seed. Of several prompt forms the one with the best greedy score counts;
    samples are drawn only for the forms that share that score, and the mean decides between them (then the order of `forms`).
    """
    settings = cfg["evaluation"]
    asker = Asker(problems, engine, tokenizer, cfg, cache_dir, label)
    greedy = asker.answers(forms, range(1), 0.0)
    scores = {form: sum(answers[0].passed for answers in greedy[form]) for form in forms}
    leading = [form for form in forms if scores[form] == max(scores.values())]
    sampled: dict[str, list[list[Answer]]] = {}
    if settings["samples"]:
        draws = range(1, settings["samples"] + 1)
        sampled = asker.answers(leading, draws, settings["temperature"])
    rates = {form: [sum(answer.passed for answer in answers) / len(answers) for answers in sampled[form]] for form in sampled}
    best = max(leading, key=lambda form: sum(rates.get(form, [])))
    tried = {}
    for form in forms:
        tried[form] = {"greedy": _greedy(scores[form], len(problems)), "mean": _mean(sampled.get(form), settings)}
    return {
        "problems": len(problems),
        "form": best,
        **tried[best],
        "groups": _groups(problems, greedy[best], rates.get(best)),
        "forms": tried,
        "items": [_item(*row) for row in zip(problems, greedy[best], sampled.get(best) or [[]] * len(problems), strict=True)],
    }


class Asker:
    """Asks a model all problems at once, and runs what it answers."""

    def __init__(self, problems: Sequence[Task], engine: Engine, tokenizer: Any, cfg: dict, cache_dir: str | None, label: str):
        self.problems, self.engine, self.tokenizer = problems, engine, tokenizer
        self.cfg, self.cache_dir, self.label = cfg, cache_dir, label
        self.bos, _ = special_tokens(tokenizer)

    def answers(self, forms: Sequence[str], samples: range, temperature: float) -> dict[str, list[list[Answer]]]:
        """Per form and problem (in their order) one answer for each of `samples`."""
        asked = [(form, problem) for form in forms for problem in self.problems for _ in samples]
        requests = [request for form in forms for problem in self.problems for request in self._requests(form, problem, samples, temperature)]
        completions = self._complete(requests)
        run = [place for place, completion in enumerate(completions) if completion.finish_reason != NOT_RUN]
        verdicts = dict(zip(run, self._judge([(asked[place], completions[place]) for place in run]), strict=True))
        failed = [(place, *asked[place]) for place in run if verdicts[place][0] != "passed"]
        repair = {place: (form, task) for place, form, task in failed if isinstance(task, RepairTask)}
        if repair:
            again = [self._second_request(requests[place], *repair[place], completions[place].text) for place in repair]
            for place, completion in zip(repair, self._complete(again), strict=True):
                if completion.finish_reason != NOT_RUN:
                    completions[place] = completion
            chat = [((FORMS[-1], task), completions[place]) for place, (_, task) in repair.items()]
            verdicts |= dict(zip(repair, self._judge(chat), strict=True))
        answers: dict[str, list[list[Answer]]] = {form: [[] for _ in self.problems] for form in forms}
        for place, completion in enumerate(completions):
            verdict, detail = verdicts.get(place, (NOT_RUN, completion.detail))
            answer = Answer(completion.text, completion.finish_reason, verdict, detail)
            answers[asked[place][0]][place // len(samples) % len(self.problems)].append(answer)
        return answers

    def _judge(self, answers: Sequence[tuple[tuple[str, Task], Completion]]) -> list[tuple[str, str]]:
        solutions = [(task, task.solution(form, completion.text)) for (form, task), completion in answers]
        return judge_solutions(solutions, self.cfg["execution"], self.cache_dir, self.label)

    def _second_request(self, first: Request, form: str, task: RepairTask, completion: str) -> Request:
        """The request for a repaired answer: for base models too in the chat form, which alone can say what went wrong."""
        solution = task.solution(form, completion)
        told = execute([task.telling(solution)], execution_for(task, self.cfg["execution"]), None, self.cache_dir)[0]
        prompt = task.repair_prompt(self.bos, solution, told)
        return replace(first, id=row_id("repair", first.id, 0), prefix="", prompt=prompt, stop=task.stops("chat"))

    def _requests(self, form: str, problem: Task, samples: range, temperature: float) -> list[Request]:
        text = problem.prompt(form, self.bos)
        prefix, rest = self._split(text) if len(samples) > 1 else ("", text)
        ids = [row_id(f"evaluate_model {form}", problem.task_id, sample) for sample in samples]
        seeds = [row_seed(self.cfg["seed"], id, "evaluate_model") for id in ids]
        tokens = self.cfg["evaluation"]["max_new_tokens"]
        return [Request(id, prefix, rest, seed, temperature, tokens, problem.stops(form)) for id, seed in zip(ids, seeds, strict=True)]

    def _split(self, text: str) -> tuple[str, str]:
        """The part that the samples of a problem share, and its last line; all in the latter if that would change the tokens."""
        cut = text.rfind("\n")
        parts = (text[:cut], text[cut:]) if cut > 0 else ("", text)
        tokens = [self.tokenizer.encode(part, add_special_tokens=False) for part in (*parts, text)]
        return parts if tokens[0] + tokens[1] == tokens[2] else ("", text)

    def _complete(self, requests: Sequence[Request]) -> list[Completion]:
        """The completions in the order of the requests. EngineError if the engine gave up on one."""
        progress = Progress(f"{self.label}: answers", total=len(requests))
        completions = {}
        for completion in self.engine.complete(requests):
            completions[completion.id] = completion
            progress.advance(1, tokens=completion.output_tokens)
        failed = [completion.detail for completion in completions.values() if completion.finish_reason == "failed"]
        if failed:
            raise EngineError(f"the engine gave no answer to {len(failed)} of {len(requests)} requests ({failed[0]}); run again for these")
        return [completions[request.id] for request in requests]


def _greedy(passed: int, problems: int) -> dict[str, Any]:
    return {"passed": passed, "score": passed / problems, "interval": list(wilson(passed, problems))}


def _mean(answers: Sequence[Sequence[Answer]] | None, settings: dict) -> dict[str, Any] | None:
    """Of the samples of each problem: the mean pass rate, which is pass@1, and pass@k for every k in the config's pass_at."""
    if answers is None:
        return None
    samples = settings["samples"]
    passed = [sum(answer.passed for answer in own) for own in answers]
    rates = [count / samples for count in passed]
    estimates = {str(k): sum(pass_at(k, samples, count) for count in passed) / len(passed) for k in settings["pass_at"] if k <= samples}
    score = {"score": sum(rates) / len(rates), "interval": list(bootstrap(rates))}
    return {"samples": samples, "temperature": settings["temperature"], **score, "pass_at": estimates}


def _groups(problems: Sequence[Task], greedy: Sequence[Sequence[Answer]], rates: Sequence[float] | None) -> dict[str, Any]:
    groups = {}
    for name in sorted({problem.group for problem in problems}):
        places = [place for place, problem in enumerate(problems) if problem.group == name]
        passed = sum(greedy[place][0].passed for place in places)
        mean = sum(rates[place] for place in places) / len(places) if rates else None
        groups[name] = {"problems": len(places), "passed": passed, "score": passed / len(places), "mean": mean}
    return groups


def _item(problem: Task, greedy: Sequence[Answer], sampled: Sequence[Answer]) -> dict[str, Any]:
    answer = greedy[0]
    return {
        "task_id": problem.task_id,
        "group": problem.group,
        "verdict": answer.verdict,
        "detail": answer.detail,
        "finish_reason": answer.finish_reason,
        "samples_passed": sum(answer.passed for answer in sampled) if sampled else None,
        "completion": None if answer.passed else answer.completion,
    }
