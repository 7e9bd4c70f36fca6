"""The bundled model's training corpus: the pipeline's own prompts over the small world and the standard library.

Documents are what `selfalign.generation.prompts` renders for the four steps, with as many examples as fit, and plain modules.
The rates of mistakes below were fixed before the first model was evaluated.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from concepts import MOST, VOCABULARY, find_concepts
from library import LibraryFunction, library_functions, name_words
from problems import (
    ARGUMENTS,
    DIFFICULTY,
    KINDS,
    Problem,
    ast_key,
    body,
    chain_text,
    docstring,
    draw_chain,
    draw_input,
    draw_phrases,
    function,
    in_corpus,
    literal,
    third_person,
    trace,
)

from selfalign.generation.fewshot import Example, Judged, load_fewshot
from selfalign.generation.prompts import HEADING, answer, question

PROMPTS = Path(__file__).parents[3] / "prompts" / "tiny.yaml"
CATEGORY, LANGUAGE = "code generation (function implementation)", "Python"

RATES = {
    "buggy_body": 0.35,  # responses and plain functions whose code does something else than asked
    "wrong_assertion": 0.12,  # responses with one wrong expected value
    "wrong_name": 0.01,  # responses whose tests call another name
    "missing_section": 0.02,  # responses without their explanation
    "bad_docstring": 0.35,  # judged functions whose docstring is another's, cut short or empty of content
    "wrong_verdict": 0.05,  # judged functions with the wrong answer
    "wrong_docstring": 0.08,  # plain functions with another problem's docstring
    "noise_concepts": 0.15,  # property blocks with concepts that have nothing to do with the instruction
}
MIX = {"judge": 0.12, "concepts": 0.08, "instructions": 0.12, "responses": 0.52, "plain": 0.16}  # shares of the characters
DOCUMENTED = {"asked": 0.7, "other": 0.2}  # responses whose code has a docstring: where the task is to complete a stub with one, elsewhere
_LENGTHS = ((1, 2, 3), (0.42, 0.42, 0.16))  # operations per problem
_DOCUMENT = 2600  # characters of examples per document, about 1,000 tokens
_VAGUE = (
    "Do the work.",
    "Helper.",
    "Process the input.",
    "See the code.",
    "Return the result.",
    "Internal use.",
    "Not documented yet.",
    "Utility function.",
)

# No argument names: keywords, what the operations' code calls, and the name of a loop's item.
_RESERVED = (
    "def for not and class word return with from import else try except pass none lambda yield global while break raise "
    "assert del nonlocal continue finally async await elif True False None list sum len max min str abs all any range "
    "sorted set dict int "
)
_TAKEN = frozenset(_RESERVED.split())


def draw_name(rng: random.Random) -> str:
    """A function name of two or three words."""
    return "_".join(rng.choice(name_words()) for _ in range(rng.choice((2, 2, 2, 3))))


def draw_problem(rng: random.Random, length: int = 0, allowed=in_corpus, banned: frozenset[str] = frozenset()) -> Problem:
    """A problem with `length` operations (0: drawn) whose right code is not among the `banned` AST keys."""
    while True:
        chain = draw_chain(rng, length or rng.choices(*_LENGTHS)[0], allowed)
        if chain is None:
            continue
        kind = chain[0][0].source
        argument = rng.choice(ARGUMENTS[kind]) if rng.random() < 0.7 else rng.choice(name_words())
        problem = Problem(draw_name(rng), argument, chain)
        if argument in _TAKEN or ast_key(function(problem, "", body(problem, random.Random(0)))) in banned:
            continue
        return problem


def examples_of(problem: Problem, rng: random.Random, count: int) -> list[tuple]:
    """`count` (input, output) pairs with different inputs, the last one sometimes small."""
    pairs: list[tuple] = []
    for index in range(count * 4):
        value = draw_input(rng, problem.kind, small=index % count == count - 1 and rng.random() < 0.6)
        if all(value != other for other, _ in pairs):
            pairs.append((value, trace(problem, value)[-1]))
        if len(pairs) == count:
            break
    return pairs


def instruction_text(problem: Problem, rng: random.Random) -> str:
    """An instruction for the problem, in one of several forms."""
    phrases = draw_phrases(problem, rng)
    does, do = chain_text([third_person(phrase) for phrase in phrases]), chain_text(phrases)
    kind, name, argument = KINDS[problem.kind], problem.name, problem.argument
    form = rng.randrange(8)
    if form >= 6:
        stub = function(problem, docstring(problem, phrases, rng, examples_of(problem, rng, rng.randint(0, 1))), "").rstrip()
        return f"Complete this Python function:\n```python\n{stub}\n```"
    text = (
        f"Write a Python function `{name}` that takes {kind} `{argument}`, {does}, and returns the result.",
        f"Write a function `{name}({argument})`. Given {kind}, it should {do}, and return what comes out.",
        f"Implement `{name}` in Python. Its argument `{argument}` is {kind}. The function {does}.",
        f"Create a Python function named `{name}` for {kind} `{argument}`: {do}.",
        f"I have {kind} called `{argument}`. Define `{name}`, which {does}, and gives back the result.",
        f"Define a function `{name}` with one parameter `{argument}` ({kind}). It must {do}.",
    )[form]
    if rng.random() < 0.3:
        value, result = examples_of(problem, rng, 1)[0]
        text += f" For example, `{name}({literal(value)})` gives `{literal(result)}`."
    return text


def _spoiled(value):
    """A value of the same kind that is not equal."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value[:-1] if value else ([0] if isinstance(value, list) else "a")


def response_text(problem: Problem, instruction: str, rng: random.Random, rates: dict = RATES, banned: frozenset[str] = frozenset()) -> str:
    """A response to the instruction in four sections, with mistakes at the given rates ({} for none)."""
    phrases = draw_phrases(problem, rng)
    document = instruction.split('"""')[1] if '"""' in instruction else ""
    if rng.random() >= DOCUMENTED["asked" if document else "other"]:
        document = ""
    elif not document:
        document = docstring(problem, phrases, rng, examples_of(problem, rng, rng.randint(0, 1)))
    sentence = chain_text(phrases)
    cases = [draw_input(rng, problem.kind, small=index > 0 and rng.random() < 0.4) for index in range(rng.choice((2, 2, 3)))]
    steps = [trace(problem, value) for value in cases]
    reasoning = "\n".join([f"{sentence[0].upper()}{sentence[1:]}.", *(" -> ".join(map(literal, values)) for values in steps)])
    code = _body(problem, rng, rates, banned)
    outcomes = [values[-1] for values in steps]
    if rng.random() < rates.get("wrong_assertion", 0):
        index = rng.randrange(len(outcomes))
        outcomes[index] = _spoiled(outcomes[index])
    called = draw_name(rng) if rng.random() < rates.get("wrong_name", 0) else problem.name
    tests = "\n".join(f"assert {called}({literal(value)}) == {literal(outcome)}" for value, outcome in zip(cases, outcomes, strict=True))
    explanation = f"`{problem.name}` {chain_text([third_person(phrase) for phrase in phrases])}."
    parts = [
        ("Reasoning", reasoning),
        ("Implementation", f"```python\n{function(problem, document, code)}```"),
        ("Explanation", explanation),
        ("Tests", f"```python\n{tests}\n```"),
    ]
    if rng.random() < rates.get("missing_section", 0):
        del parts[2]
    return "\n\n".join(f"[{name}]\n{text}" for name, text in parts)


def _body(problem: Problem, rng: random.Random, rates: dict, banned: frozenset[str]) -> str:
    bug_at = rng.randrange(len(problem.chain)) if rng.random() < rates.get("buggy_body", 0) else None
    while True:
        code = body(problem, rng, bug_at)
        if not banned or ast_key(function(problem, "", code)) not in banned:
            return code
        bug_at = None if bug_at is None else rng.randrange(len(problem.chain))


def plain_function(problem: Problem, rng: random.Random, banned: frozenset[str] = frozenset()) -> str:
    """A function with docstring, as in a source file."""
    described = problem
    if rng.random() < RATES["wrong_docstring"]:
        described = Problem(problem.name, problem.argument, draw_problem(rng).chain)
    text = docstring(described, draw_phrases(described, rng), rng, examples_of(described, rng, rng.randint(0, 2)))
    return function(problem, text, _body(problem, rng, RATES, banned))


class Corpus:
    """Documents of the corpus, drawn with `rng`. `banned` AST keys (the benchmark's solutions) are never written."""

    def __init__(self, banned: frozenset[str]):
        self.banned = banned
        self.system = load_fewshot(PROMPTS).system
        self.functions = [f for f in library_functions() if not f.held_out and ast_key(f.source) not in banned]
        self.documented = [f for f in self.functions if len(f.docstring) > 40]

    def documents(self, rng: random.Random) -> Iterator[str]:
        """Documents without end."""
        written = dict.fromkeys(MIX, 0)
        while True:
            kind = min(MIX, key=lambda kind: written[kind] / MIX[kind])
            text = self._document(kind, rng)
            written[kind] += len(text)
            yield text

    def _document(self, kind: str, rng: random.Random) -> str:
        if kind == "plain":
            if rng.random() < 0.25:
                return rng.choice(self.functions).source + "\n"
            return "\n\n".join(plain_function(draw_problem(rng, banned=self.banned), rng, self.banned) for _ in range(rng.randint(1, 5)))
        size = 0
        blocks = [self.system[kind]]
        while size < _DOCUMENT:
            example = self._judged(rng) if kind == "judge" else self._example(kind, rng)
            block = f"{HEADING} {len(blocks)}\n{question(kind, example)}{answer(kind, example)}"
            if size and size + len(block) > _DOCUMENT * 1.3:
                break
            blocks.append(block)
            size += len(block)
        # The heading after the last example ends it.
        return "\n\n".join(blocks) + f"\n\n{HEADING} {len(blocks)}\n"

    def _example(self, kind: str, rng: random.Random) -> Example:
        snippet, concepts, difficulty, instruction, response = "", (), "", "", ""
        if kind == "concepts":
            while not concepts:
                snippet = (
                    rng.choice(self.functions).source
                    if rng.random() < 0.85
                    else plain_function(draw_problem(rng, banned=self.banned), rng, self.banned).strip()
                )
                concepts = tuple(find_concepts(snippet))
        else:
            problem = draw_problem(rng, banned=self.banned)
            instruction = instruction_text(problem, rng)
            difficulty = DIFFICULTY[len(problem.chain)]
            if kind == "instructions":
                concepts = tuple(draw_concepts(problem, rng))
            else:
                response = response_text(problem, instruction, rng, RATES, self.banned)
        return Example(snippet, CATEGORY, LANGUAGE, concepts, difficulty, instruction, "", response)

    def _judged(self, rng: random.Random) -> Judged:
        good = rng.random() >= RATES["bad_docstring"]
        if rng.random() < 0.75:
            snippet = _judged_source(rng.choice(self.documented), self.documented, good, rng)
        else:
            problem = draw_problem(rng, banned=self.banned)
            described = problem if good else Problem(problem.name, problem.argument, draw_problem(rng, banned=self.banned).chain)
            text = docstring(described, draw_phrases(described, rng), rng, examples_of(described, rng, rng.randint(0, 1)))
            snippet = function(problem, text if good or rng.random() < 0.5 else rng.choice(_VAGUE), body(problem, rng)).strip()
        wrong = rng.random() < RATES["wrong_verdict"]
        return Judged(snippet, "Yes" if good != wrong else "No")


def draw_concepts(problem: Problem, rng: random.Random) -> list[str]:
    """Concepts for a property block: some of the problem's own among others, as the S->C step would find them."""
    own = problem.concepts()
    if rng.random() < RATES["noise_concepts"]:
        own = []
    own = rng.sample(own, rng.randint(1, len(own))) if own else []
    others = rng.sample([concept for concept in VOCABULARY if concept not in own], rng.randint(0 if own else 1, MOST - 1))
    chosen = (own + others)[:MOST]
    rng.shuffle(chosen)
    return chosen


def _judged_source(chosen: LibraryFunction, documented: list[LibraryFunction], good: bool, rng: random.Random) -> str:
    if good:
        return chosen.source
    other = rng.choice(documented).docstring if rng.random() < 0.5 else rng.choice((*_VAGUE, chosen.docstring.split()[0] + "."))
    return chosen.source.replace(chosen.docstring, other, 1)
