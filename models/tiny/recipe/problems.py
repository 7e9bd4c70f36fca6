"""Problems of the small world: a named function that applies one to three operations, as text, code, tests and AST key."""

import ast
import random
from dataclasses import dataclass

from operations import BY_SOURCE, KINDS, Op, draw_values, pair_held_out

WORDS = (  # noqa: SIM905
    "apple river stone cat dog tree lion noon level radar kayak anna bird sand moon rain leaf fish lake corn "
    "salt tiger onion paper sister castle lemon train ocean silent rose iron oil ant eel nest toast coral stereo"
).split()
ARGUMENTS = {
    "ints": ("values", "numbers", "items", "nums", "data", "xs"),
    "words": ("words", "names", "items", "terms", "labels"),
    "text": ("text", "string", "line", "word", "s"),
    "int": ("n", "number", "value", "x", "count"),
    "bool": ("flag",),
}
DIFFICULTY = {1: "easy", 2: "medium", 3: "hard"}
_TEMPORARIES = ("result", "kept", "step", "part", "output")


@dataclass(frozen=True)
class Problem:
    """A function `name(argument)` that applies `chain`, a sequence of operations with their values."""

    name: str
    argument: str
    chain: tuple[tuple[Op, tuple[tuple[str, object], ...]], ...]

    @property
    def kind(self) -> str:
        return self.chain[0][0].source

    @property
    def phrases(self) -> list[str]:
        return [op.phrases[0].format(**dict(values)) for op, values in self.chain]

    def concepts(self) -> list[str]:
        return list(dict.fromkeys(concept for op, _ in self.chain for concept in op.concepts))


def draw_chain(rng: random.Random, length: int, allowed) -> tuple | None:
    """A chain of `length` operations whose kinds fit and whose neighbours `allowed(first, second)` accepts, or None."""
    kind = rng.choices(("ints", "words", "text", "int"), (5, 3, 3, 2))[0]
    chain: list[Op] = []
    for _ in range(length):
        choices = [op for op in BY_SOURCE[kind] if allowed(None, op) and (not chain or allowed(chain[-1], op) and op.id != chain[-1].id)]
        if not choices:
            return None
        chain.append(rng.choice(choices))
        kind = chain[-1].target
    return tuple((op, tuple(draw_values(op, rng).items())) for op in chain)


def in_corpus(first: Op | None, second: Op) -> bool:
    """What the training corpus may contain."""
    return not second.held_out and (first is None or not pair_held_out(first, second))


def draw_input(rng: random.Random, kind: str, small: bool = False):
    """An input value of a kind; `small` ones are short or empty."""
    if kind == "ints":
        numbers = [
            rng.randint(-4, 12) if rng.random() < 0.85 else rng.randint(13, 40) for _ in range(rng.randint(0, 2) if small else rng.randint(3, 5))
        ]
        if len(numbers) > 2 and rng.random() < 0.3:
            numbers[-1] = numbers[0]
        return numbers
    if kind == "words":
        words = [rng.choice(WORDS) for _ in range(rng.randint(0, 1) if small else rng.randint(2, 4))]
        if len(words) > 2 and rng.random() < 0.3:
            words[-1] = words[0]
        return words
    if kind == "text":
        text = rng.choice(WORDS) if small or rng.random() < 0.6 else f"{rng.choice(WORDS)} {rng.choice(WORDS)}"
        return text.capitalize() if rng.random() < 0.2 else text
    return rng.randint(0, 9) if small else rng.randint(-5, 30)


def literal(value) -> str:
    """The value as Python source, with double quotes."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "[" + ", ".join(map(literal, value)) + "]" if isinstance(value, list) else repr(value)


def _expression(op: Op, values: dict, x: str, bug: str | None = None) -> tuple[str, str, str]:
    """(expression, element, condition) of an operation over `x`; element and condition are empty if it is no comprehension."""
    if op.each:
        each, _, where = bug.partition("|") if bug else (op.each, "", op.where)
        each, where = each.strip().format(**values), where.strip().format(**values)
        item = "word" if op.source == "words" else "n"
        return f"[{each} for {item} in {x}{f' if {where}' if where else ''}]", each, where
    return (bug or op.code).format(x=x, **values), "", ""


def trace(problem: Problem, value) -> list:
    """The input and the value after each operation, by the right code."""
    values = [value]
    for op, parameters in problem.chain:
        values.append(eval(_expression(op, dict(parameters), "x")[0], {"x": values[-1]}))
    return values


def body(problem: Problem, rng: random.Random, bug_at: int | None = None) -> str:
    """The function's body, indented; with a bug in operation number `bug_at`. Style is drawn from `rng`."""
    lines, x = [], problem.argument
    temporary = rng.choice([name for name in _TEMPORARIES if name != problem.argument])
    loops = rng.random() < 0.25
    for index, (op, parameters) in enumerate(problem.chain):
        bug = rng.choice(op.bugs) if index == bug_at else None
        expression, each, where = _expression(op, dict(parameters), x, bug)
        last = index == len(problem.chain) - 1
        if each and loops:
            item, indent = ("word" if op.source == "words" else "n"), "        "
            lines += [f"    {temporary} = []" if x != temporary else "    collected = []", f"    for {item} in {x}:"]
            if where:
                lines += [f"        if {where}:"]
                indent += "    "
            target = temporary if x != temporary else "collected"
            lines += [f"{indent}{target}.append({each})"]
            if last:
                lines += [f"    return {target}"]
            elif target == "collected":
                lines += [f"    {temporary} = collected"]
        else:
            lines += [f"    return {expression}" if last else f"    {temporary} = {expression}"]
        x = temporary
    return "\n".join(lines)


def third_person(phrase: str) -> str:
    """'keep the even numbers' as 'keeps the even numbers'."""
    verb, _, rest = phrase.partition(" ")
    ending = "es" if verb.endswith(("s", "x", "ch", "sh")) else "s"
    verb = f"{verb[:-1]}ies" if verb.endswith("ly") else verb + ending
    return f"{verb} {rest}"


def chain_text(phrases: list[str]) -> str:
    """Phrases as one sentence part."""
    return ", then ".join(phrases)


def draw_phrases(problem: Problem, rng: random.Random) -> list[str]:
    """The phrase of each operation, in one of its wordings."""
    return [rng.choice(op.phrases).format(**dict(values)) for op, values in problem.chain]


def docstring(problem: Problem, phrases: list[str], rng: random.Random, examples: list) -> str:
    """The docstring's text; `examples` are (input, output) pairs shown as doctests."""
    sentence = chain_text(phrases)
    first = rng.choice(
        (f"Given {KINDS[problem.kind]}, {sentence}.", f"Take {KINDS[problem.kind]} and {sentence}.", f"{sentence[0].upper()}{sentence[1:]}.")
    )
    lines = [first]
    for value, result in examples:
        lines += ["", f"    >>> {problem.name}({literal(value)})", f"    {literal(result)}"]
    return "\n".join(lines) + ("\n    " if examples else "")


def function(problem: Problem, text: str, code: str) -> str:
    """The whole function; `text` is its docstring ('' for none)."""
    return f"def {problem.name}({problem.argument}):\n" + (f'    """{text}"""\n' if text else "") + code + "\n"


class _Anonymous(ast.NodeTransformer):
    def __init__(self):
        self.names: dict[str, str] = {}

    def visit_Name(self, node):
        return ast.Name(self.names.setdefault(node.id, f"v{len(self.names)}"), ctx=ast.Load())

    def visit_arg(self, node):
        return ast.arg(self.names.setdefault(node.arg, f"v{len(self.names)}"))


def ast_key(source: str) -> str:
    """A function's syntax tree with names replaced in order of appearance and the docstring left out."""
    node = ast.parse(source).body[0]
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:]
    node.name = "f"
    return ast.dump(_Anonymous().visit(node))
