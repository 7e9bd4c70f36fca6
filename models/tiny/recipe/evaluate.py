"""What the bundled model can do on material that its training never saw: `python models/tiny/recipe/evaluate.py`.

- S->C: micro-averaged F1 of the concepts of functions from held-out library modules, against always naming the commonest ones;
- judge: accuracy on held-out functions with their own and with a spoiled docstring, half each;
- C->I, I->R: share that parses, share that copies every name, share that passes its own tests, at temperature 0.7 on problems of
  the corpus' kind (new names and values), greedy and sampled.
"""

import random
from collections import Counter
from pathlib import Path

from concepts import MOST, find_concepts
from corpus import CATEGORY, LANGUAGE, PROMPTS, _judged_source, draw_concepts, draw_problem, instruction_text
from library import library_functions
from problems import DIFFICULTY

from selfalign.data.ids import content_id, row_seed
from selfalign.generation.engines import Request, open_engine
from selfalign.generation.fewshot import Example, Judged, load_fewshot
from selfalign.generation.prompts import STOP, question, render_prefix
from selfalign.generation.sections import SectionError, code_blocks, split_sections

MODEL = Path(__file__).parents[1]
ENGINE = {"kind": "transformers", "device": "cpu", "dtype": "float64", "batch_size": 128, "threads": 1, "tensor_parallel": 1, "url": "", "retries": 0}
COUNT = {"judge": 2, "concepts": 2, "instructions": 2, "responses": 1}
TOKENS = {"concepts": 48, "instructions": 160, "responses": 400}


def ask(engine, step: str, examples: list, temperature: float, draws: int = 1) -> list[list]:
    """The model's completions for the open part of each example, `draws` for each."""
    fewshot = load_fewshot(PROMPTS)
    prefix = render_prefix(step, fewshot.system[step], fewshot.serving(step)[: COUNT[step]])
    choices = ("Yes", "No") if step == "judge" else ()
    requests = [
        Request(
            f"{index}:{draw}",
            prefix,
            question(step, example),
            row_seed(1, f"{index}", f"{step} {draw}"),
            temperature,
            TOKENS.get(step, 4),
            (STOP,),
            choices,
        )
        for index, example in enumerate(examples)
        for draw in range(draws)
    ]
    answers = {completion.id: completion for completion in engine.complete(requests)}
    return [[answers[f"{index}:{draw}"] for draw in range(draws)] for index in range(len(examples))]


def concepts_score(engine, rng: random.Random) -> None:
    functions = [f for f in library_functions() if f.held_out and f.docstring and len(f.source) < 1200]
    functions = rng.sample(functions, min(200, len(functions)))
    truth = [set(find_concepts(f.source)) for f in functions]
    seen = Counter(concept for f in library_functions() if not f.held_out for concept in find_concepts(f.source))
    common = {concept for concept, _ in seen.most_common(MOST)}
    answers = ask(engine, "concepts", [Example(f.source, "", "", (), "", "", "", "") for f in functions], 0.0)
    found = [{part.strip() for part in answer[0].text.split(",")} for answer in answers]
    print(
        f"S->C, {len(functions)} held-out functions: F1 {f1(found, truth):.3f}; commonest {MOST} concepts: F1 {f1([common] * len(truth), truth):.3f}"
    )


def f1(found: list[set], truth: list[set]) -> float:
    """Micro-averaged F1 of sets."""
    both = sum(len(a & b) for a, b in zip(found, truth, strict=True))
    return 2 * both / (sum(map(len, found)) + sum(map(len, truth)))


def judge_score(engine, rng: random.Random) -> None:
    functions = [f for f in library_functions() if f.held_out and len(f.docstring) > 40 and len(f.source) < 1500]
    functions = rng.sample(functions, min(200, len(functions)))
    asked = [(_judged_source(f, functions, good, rng), good) for f in functions for good in (True, False)]
    answers = ask(engine, "judge", [Judged(source, "") for source, _ in asked], 0.0)
    right = [(a[0].logprobs[0] > a[0].logprobs[1]) == good for a, (_, good) in zip(answers, asked, strict=True) if a[0].logprobs]
    yes = [a[0].logprobs[0] > a[0].logprobs[1] for a, (_, good) in zip(answers, asked, strict=True) if a[0].logprobs and good]
    accuracy, agreed = sum(right) / len(right), sum(yes) / len(yes)
    print(f"judge, {len(right)} held-out functions: accuracy {accuracy:.3f} (chance 0.5); says yes to {agreed:.2f} of the real ones")


def writing_score(engine, rng: random.Random) -> None:
    problems = [draw_problem(rng) for _ in range(128)]
    blocks = [Example("", CATEGORY, LANGUAGE, tuple(draw_concepts(p, rng)), DIFFICULTY[len(p.chain)], "", "", "") for p in problems]
    written = [answer[0] for answer in ask(engine, "instructions", blocks, 0.7)]
    print(f"C->I, 128: {sum(c.finish_reason == 'stop' for c in written)} end; for example: {written[0].text!r}")
    asked = [Example("", "", "", (), "", instruction_text(p, rng), "", "") for p in problems]
    for temperature, draws in ((0.0, 1), (0.7, 4)):
        answers = ask(engine, "responses", asked, temperature, draws)
        parsed = named = passed = total = 0
        for problem, completions in zip(problems, answers, strict=True):
            for completion in completions:
                total += 1
                try:
                    sections = split_sections(completion.text)
                except SectionError:
                    continue
                parsed += 1
                code, tests = "\n".join(code_blocks(sections.implementation)), "\n".join(code_blocks(sections.tests))
                named += f"def {problem.name}({problem.argument}):" in code and f"{problem.name}(" in tests
                try:
                    # Trusted here: the model writes nothing but the small world's expressions.
                    exec(f"{code}\n{tests}", {})
                    passed += "assert" in tests
                except Exception:
                    continue
        shares = f"{parsed / total:.3f} parse, {named / total:.3f} copy every name, {passed / total:.3f} pass their tests"
        print(f"I->R, temperature {temperature}, {total} responses: {shares}")
    print(answers[0][0].text)


def main() -> None:
    engine = open_engine({"path": str(MODEL), "revision": "", "context": 0}, ENGINE, None)
    rng = random.Random(content_id("evaluation"))
    writing_score(engine, rng)
    judge_score(engine, rng)
    concepts_score(engine, rng)


if __name__ == "__main__":
    main()
