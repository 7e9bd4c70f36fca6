"""The operations of the bundled model's small world: what one step of a function does, in words and in code.

An operation's right code is `code` (an expression over {x}, or element and condition of a comprehension over {x}); `bugs` are
plausible wrong versions. Operations marked `held_out`, and a fifth of all pairs of operations, never occur in the training corpus.
"""

# A table, one operation a line.
# ruff: noqa: E501

import hashlib
import random
from dataclasses import dataclass, field

KINDS = {"ints": "a list of integers", "words": "a list of words", "text": "a text", "int": "an integer", "bool": "a truth value"}

HELD_OUT_PAIRS = 0.2


@dataclass(frozen=True)
class Op:
    """One operation. `family` is shared by operations with the same code on different kinds of value."""

    id: str
    source: str
    target: str
    phrases: tuple[str, ...]  # imperative, the verb first
    code: str = ""
    each: str = ""  # comprehension: element
    where: str = ""  # comprehension: condition
    bugs: tuple[str, ...] = ()  # like `code`; for a comprehension "element | condition"
    concepts: tuple[str, ...] = ()
    values: dict = field(default_factory=dict)  # parameter name -> choices
    family: str = ""
    held_out: bool = False

    def __post_init__(self):
        object.__setattr__(self, "family", self.family or self.id)


_SMALL = tuple(range(1, 10))
_FEW = (1, 2, 3)
_LETTERS = tuple("aeiorstlnc")
_ENDINGS = ("x", "!", "s", "ed", "ly", "?")
_ITEM = {"ints": "n", "words": "word"}


def _build() -> list[Op]:
    ops: list[Op] = []

    def add(id, source, target, phrases, code="", *, each="", where="", bugs=(), concepts=(), family="", held_out=False, **values):
        phrases = (phrases,) if isinstance(phrases, str) else phrases
        ops.append(Op(id, source, target, phrases, code, each, where, tuple(bugs), tuple(concepts), values, family, held_out))

    def keep(id, phrases, where, bugs, concepts=(), **more):
        add(id, "ints", "ints", phrases, each="n", where=where, bugs=[f"n | {bug}" for bug in bugs], concepts=("filtering", "list comprehension", *concepts), **more)

    def change(id, phrases, each, bugs, concepts=(), **more):
        add(id, "ints", "ints", phrases, each=each, bugs=[f"{bug} |" for bug in bugs], concepts=("mapping", "list comprehension", *concepts), **more)

    keep("keep_even", ("keep the even numbers", "drop the odd numbers"), "n % 2 == 0", ["n % 2 == 1", "n % 2 != 0"], ["modular arithmetic"])
    keep("keep_odd", ("keep the odd numbers", "drop the even numbers"), "n % 2 == 1", ["n % 2 == 0", "n % 2 != 1"], ["modular arithmetic"])
    keep("keep_greater", "keep the numbers greater than {k}", "n > {k}", ["n >= {k}", "n < {k}"], ["comparison"], k=_SMALL)
    keep("keep_less", "keep the numbers less than {k}", "n < {k}", ["n <= {k}", "n > {k}"], ["comparison"], k=_SMALL)
    keep("keep_multiples", "keep the multiples of {k}", "n % {k} == 0", ["n % {k} != 0", "n % {k} == 1"], ["modular arithmetic"], k=(3, 4, 5))
    keep("drop_value", ("remove every {k}", "drop each {k}"), "n != {k}", ["n == {k}", "n > {k}"], ["comparison"], k=_SMALL)
    keep("keep_between", "keep the numbers from {j} to {k}", "{j} <= n <= {k}", ["{j} < n < {k}", "n <= {k}"], ["comparison", "boolean logic"], j=_FEW, k=(6, 7, 8))
    change("add_each", "add {k} to every number", "n + {k}", ["n - {k}", "n * {k}"], ["arithmetic"], k=_SMALL)
    change("subtract_each", "subtract {k} from every number", "n - {k}", ["n + {k}", "{k} - n"], ["arithmetic"], k=_SMALL, held_out=True)
    change("multiply_each", "multiply every number by {k}", "n * {k}", ["n + {k}", "n ** {k}"], ["arithmetic"], k=(2, 3, 10))
    change("square_each", "square every number", "n * n", ["n + n", "n * 2"], ["arithmetic"])
    change("negate_each", ("negate every number", "flip the sign of every number"), "-n", ["n", "abs(n)"], ["arithmetic"])
    change("absolute_each", "take the absolute value of every number", "abs(n)", ["-n", "n"], ["absolute value"])
    change("cap_each", "replace numbers above {k} by {k}", "min(n, {k})", ["max(n, {k})", "n"], ["minimum and maximum", "comparison"], k=_SMALL)
    for kind, items, unit in (("ints", "numbers", "number"), ("words", "words", "word")):
        s = f"_{kind}"
        add("reverse" + s, kind, kind, (f"reverse the order of the {items}", f"put the {items} in reverse order"), "{x}[::-1]", bugs=["sorted({x})", "{x}[::2]"], concepts=["reversal", "slicing"], family="reverse")
        add("sort" + s, kind, kind, f"sort the {items}", "sorted({x})", bugs=["sorted({x}, reverse=True)", "{x}[::-1]"], concepts=["sorting"], family="sort")
        add("sort_down" + s, kind, kind, f"sort the {items} in descending order", "sorted({x}, reverse=True)", bugs=["sorted({x})", "{x}[::-1]"], concepts=["sorting", "reversal"], family="sort_down")
        add("first" + s, kind, kind, (f"take the first {{k}} {items}",), "{x}[:{k}]", bugs=["{x}[{k}:]", "{x}[-{k}:]"], concepts=["slicing"], family="first", k=_FEW)
        add("last" + s, kind, kind, (f"take the last {{k}} {items}",), "{x}[-{k}:]", bugs=["{x}[:{k}]", "{x}[:-{k}]"], concepts=["slicing"], family="last", k=_FEW)
        add("skip" + s, kind, kind, (f"skip the first {{k}} {items}",), "{x}[{k}:]", bugs=["{x}[:{k}]", "{x}[:-{k}]"], concepts=["slicing"], family="skip", k=_FEW)
        add("cut" + s, kind, kind, (f"leave out the last {{k}} {items}",), "{x}[:-{k}]", bugs=["{x}[:{k}]", "{x}[{k}:]"], concepts=["slicing"], family="cut", k=_FEW, held_out=kind == "words")
        add("alternate" + s, kind, kind, (f"take every second {unit}, beginning with the first",), "{x}[::2]", bugs=["{x}[1::2]", "{x}[:2]"], concepts=["slicing"], family="alternate")
        add("unique" + s, kind, kind, (f"remove repeated {items}", f"keep only the first copy of each {unit}"), "list(dict.fromkeys({x}))", bugs=["list({x})", "sorted(set({x}))"], concepts=["deduplication"], family="unique")
        add("repeat" + s, kind, kind, ("repeat the list twice",), "{x} * 2", bugs=["{x}", "{x} * 3"], concepts=["concatenation"], family="repeat", held_out=kind == "words")
        add("length" + s, kind, "int", (f"count the {items}", f"find how many {items} there are"), "len({x})", bugs=["len({x}) - 1", "len(set({x}))"], concepts=["counting", "length"], family="length")
        add("empty" + s, kind, "bool", (f"tell whether there are no {items}",), "len({x}) == 0", bugs=["len({x}) > 0", "len({x}) == 1"], concepts=["length", "comparison"], family="empty")
    add("append", "ints", "ints", "append {k} at the end", "{x} + [{k}]", bugs=["[{k}] + {x}", "{x}"], concepts=["concatenation"], k=_SMALL)
    add("prepend", "ints", "ints", "put {k} at the front", "[{k}] + {x}", bugs=["{x} + [{k}]", "{x}"], concepts=["concatenation"], k=_SMALL)
    add("sum", "ints", "int", ("add up the numbers", "compute the sum of the numbers"), "sum({x})", bugs=["len({x})", "max({x}, default=0)"], concepts=["summation", "aggregation"])
    add("largest", "ints", "int", ("find the largest number, or 0 if there is none",), "max({x}, default=0)", bugs=["min({x}, default=0)", "sum({x})"], concepts=["minimum and maximum", "aggregation"])
    add("smallest", "ints", "int", ("find the smallest number, or 0 if there is none",), "min({x}, default=0)", bugs=["max({x}, default=0)", "sum({x})"], concepts=["minimum and maximum", "aggregation"])
    add("count_even", "ints", "int", "count the even numbers", "sum(n % 2 == 0 for n in {x})", bugs=["sum(n % 2 == 1 for n in {x})", "len({x})"], concepts=["counting", "modular arithmetic"])
    add("count_value", "ints", "int", "count how often {k} occurs", "{x}.count({k})", bugs=["len({x})", "{x}.count({k}) + 1"], concepts=["counting"], k=_SMALL)
    add("count_greater", "ints", "int", "count the numbers greater than {k}", "sum(n > {k} for n in {x})", bugs=["sum(n < {k} for n in {x})", "sum(n >= {k} for n in {x})"], concepts=["counting", "comparison"], k=_SMALL, held_out=True)
    add("any_greater", "ints", "bool", "tell whether any number is greater than {k}", "any(n > {k} for n in {x})", bugs=["all(n > {k} for n in {x})", "any(n < {k} for n in {x})"], concepts=["boolean logic", "comparison"], k=_SMALL)
    add("all_even", "ints", "bool", "tell whether all numbers are even", "all(n % 2 == 0 for n in {x})", bugs=["any(n % 2 == 0 for n in {x})", "all(n % 2 == 1 for n in {x})"], concepts=["boolean logic", "modular arithmetic"])
    add("all_odd", "ints", "bool", "tell whether all numbers are odd", "all(n % 2 == 1 for n in {x})", bugs=["any(n % 2 == 1 for n in {x})", "all(n % 2 == 0 for n in {x})"], concepts=["boolean logic", "modular arithmetic"], held_out=True)
    add("contains", "ints", "bool", "tell whether {k} occurs", "{k} in {x}", bugs=["{k} not in {x}", "{x}[:1] == [{k}]"], concepts=["membership test"], k=_SMALL)
    add("join_ints", "ints", "text", ("join the numbers with {sep}",), '"{sep}".join(str(n) for n in {x})', bugs=["str({x})", '"".join(str(n) for n in {x})'], concepts=["string joining", "type conversion"], sep=("-", ",", "+", "/"))

    add("upper", "text", "text", ("convert the text to upper case", "turn the text into upper case"), "{x}.upper()", bugs=["{x}.lower()", "{x}.title()"], concepts=["case conversion", "string methods"])
    add("lower", "text", "text", ("convert the text to lower case",), "{x}.lower()", bugs=["{x}.upper()", "{x}"], concepts=["case conversion", "string methods"])
    add("capitalize", "text", "text", ("capitalize the text",), "{x}.capitalize()", bugs=["{x}.upper()", "{x}"], concepts=["case conversion", "string methods"])
    add("reverse_text", "text", "text", ("reverse the text",), "{x}[::-1]", bugs=["{x}", "{x}[::2]"], concepts=["reversal", "slicing"], family="reverse")
    add("first_text", "text", "text", ("take the first {k} characters",), "{x}[:{k}]", bugs=["{x}[{k}:]", "{x}[-{k}:]"], concepts=["slicing"], family="first", k=_FEW)
    add("last_text", "text", "text", ("take the last {k} characters",), "{x}[-{k}:]", bugs=["{x}[:{k}]", "{x}[:-{k}]"], concepts=["slicing"], family="last", k=_FEW)
    add("skip_text", "text", "text", ("skip the first {k} characters",), "{x}[{k}:]", bugs=["{x}[:{k}]", "{x}[:-{k}]"], concepts=["slicing"], family="skip", k=_FEW)
    add("suffix", "text", "text", ("append {s} to the text",), '{x} + "{s}"', bugs=['"{s}" + {x}', "{x}"], concepts=["concatenation"], s=_ENDINGS)
    add("prefix", "text", "text", ("put {s} in front of the text",), '"{s}" + {x}', bugs=['{x} + "{s}"', "{x}"], concepts=["concatenation"], s=("x", "un", "re", "#", "-"))
    add("double_text", "text", "text", ("repeat the text twice",), "{x} * 2", bugs=["{x}", "{x} * 3"], concepts=["concatenation"], family="repeat")
    add("replace", "text", "text", ("replace every {c} by {s}",), '{x}.replace("{c}", "{s}")', bugs=['{x}.replace("{s}", "{c}")', '{x}.replace("{c}", "")'], concepts=["replacement", "string methods"], c=_LETTERS, s=("*", "-", "_", "z"))
    add("remove_letter", "text", "text", ("remove every {c} from the text",), '{x}.replace("{c}", "")', bugs=['{x}.strip("{c}")', '{x}.replace("{c}", "{c}{c}")'], concepts=["replacement", "string methods"], c=_LETTERS)
    add("length_text", "text", "int", ("count the characters", "find the length of the text"), "len({x})", bugs=["len({x}) - 1", "len(set({x}))"], concepts=["counting", "length"], family="length")
    add("count_letter", "text", "int", ("count how often {c} occurs in the text",), '{x}.count("{c}")', bugs=["len({x})", '{x}.find("{c}")'], concepts=["counting", "string methods"], c=_LETTERS)
    add("starts", "text", "bool", ("tell whether the text starts with {c}",), '{x}.startswith("{c}")', bugs=['{x}.endswith("{c}")', '"{c}" in {x}'], concepts=["string methods", "comparison"], c=_LETTERS)
    add("ends", "text", "bool", ("tell whether the text ends with {c}",), '{x}.endswith("{c}")', bugs=['{x}.startswith("{c}")', '"{c}" in {x}'], concepts=["string methods", "comparison"], c=_LETTERS)
    add("has_letter", "text", "bool", ("tell whether {c} occurs in the text",), '"{c}" in {x}', bugs=['"{c}" not in {x}', '{x}.startswith("{c}")'], concepts=["membership test"], c=_LETTERS)
    add("palindrome", "text", "bool", ("tell whether the text reads the same backwards",), "{x} == {x}[::-1]", bugs=["{x} != {x}[::-1]", "{x}[:1] == {x}[-1:]"], concepts=["reversal", "comparison"])
    add("split", "text", "words", ("split the text at spaces", "split the text into words"), "{x}.split()", bugs=["list({x})", "[{x}]"], concepts=["string splitting", "string methods"])
    add("letters", "text", "words", ("list the characters of the text",), "list({x})", bugs=["[{x}]", "{x}.split()"], concepts=["type conversion", "iteration"])

    def each_word(id, phrases, each, bugs, concepts, **more):
        add(id, "words", "words", phrases, each=each, bugs=[f"{bug} |" for bug in bugs], concepts=("mapping", "list comprehension", *concepts), **more)

    def keep_words(id, phrases, where, bugs, concepts, **more):
        add(id, "words", "words", phrases, each="word", where=where, bugs=[f"word | {bug}" for bug in bugs], concepts=("filtering", "list comprehension", *concepts), **more)

    each_word("upper_each", "convert every word to upper case", "word.upper()", ["word.lower()", "word"], ["case conversion"])
    each_word("lower_each", "convert every word to lower case", "word.lower()", ["word.upper()", "word"], ["case conversion"], held_out=True)
    each_word("capitalize_each", "capitalize every word", "word.capitalize()", ["word.upper()", "word"], ["case conversion"])
    each_word("reverse_each", "reverse every word", "word[::-1]", ["word", "word[::2]"], ["reversal", "slicing"])
    each_word("suffix_each", "append {s} to every word", 'word + "{s}"', ['"{s}" + word', "word"], ["concatenation"], s=_ENDINGS)
    each_word("prefix_each", "put {s} in front of every word", '"{s}" + word', ['word + "{s}"', "word"], ["concatenation"], s=("x", "un", "re", "#", "-"), held_out=True)
    each_word("initial_each", "take the first letter of every word", "word[:1]", ["word[-1:]", "word[1:]"], ["slicing"])
    keep_words("keep_long", "keep the words longer than {k}", "len(word) > {k}", ["len(word) < {k}", "len(word) >= {k}"], ["length", "comparison"], k=(3, 4))
    keep_words("keep_short", "keep the words shorter than {k}", "len(word) < {k}", ["len(word) > {k}", "len(word) <= {k}"], ["length", "comparison"], k=(4, 5))
    keep_words("keep_starting", "keep the words that start with {c}", 'word.startswith("{c}")', ['word.endswith("{c}")', '"{c}" in word'], ["string methods"], c=_LETTERS)
    keep_words("keep_ending", "keep the words that end with {c}", 'word.endswith("{c}")', ['word.startswith("{c}")', '"{c}" in word'], ["string methods"], c=_LETTERS, held_out=True)
    keep_words("keep_containing", "keep the words that contain {c}", '"{c}" in word', ['"{c}" not in word', 'word.startswith("{c}")'], ["membership test"], c=_LETTERS)
    add("lengths", "words", "ints", ("replace every word by its length", "find the length of every word"), each="len(word)", bugs=["word |", "len(word) + 1 |"], concepts=["mapping", "length", "list comprehension"])
    add("join", "words", "text", ("join the words with {sep}",), '"{sep}".join({x})', bugs=['"".join({x})', "str({x})"], concepts=["string joining", "string methods"], sep=("-", ",", "+", "/"))
    add("glue", "words", "text", ("join the words without a separator",), '"".join({x})', bugs=['" ".join({x})', "str({x})"], concepts=["string joining", "concatenation"])

    add("plus", "int", "int", ("add {k}",), "{x} + {k}", bugs=["{x} - {k}", "{x} * {k}"], concepts=["arithmetic"], k=_SMALL)
    add("minus", "int", "int", ("subtract {k}",), "{x} - {k}", bugs=["{x} + {k}", "{k} - {x}"], concepts=["arithmetic"], k=_SMALL)
    add("times", "int", "int", ("multiply by {k}",), "{x} * {k}", bugs=["{x} + {k}", "{x} ** {k}"], concepts=["arithmetic"], k=(2, 3, 10))
    add("square", "int", "int", ("square the number",), "{x} * {x}", bugs=["{x} + {x}", "{x} * 2"], concepts=["arithmetic"])
    add("negate", "int", "int", ("negate the number",), "-{x}", bugs=["abs({x})", "{x}"], concepts=["arithmetic"])
    add("absolute", "int", "int", ("take the absolute value",), "abs({x})", bugs=["-{x}", "{x}"], concepts=["absolute value"])
    add("remainder", "int", "int", ("take the remainder after division by {k}",), "{x} % {k}", bugs=["{x} // {k}", "{x} - {k}"], concepts=["modular arithmetic"], k=(2, 3, 5, 10))
    add("quotient", "int", "int", ("divide by {k}, rounding down",), "{x} // {k}", bugs=["{x} % {k}", "{x} - {k}"], concepts=["arithmetic"], k=(2, 3, 5, 10))
    add("at_most", "int", "int", ("limit the number to at most {k}",), "min({x}, {k})", bugs=["max({x}, {k})", "{x}"], concepts=["minimum and maximum"], k=_SMALL)
    add("at_least", "int", "int", ("raise the number to at least {k}",), "max({x}, {k})", bugs=["min({x}, {k})", "{x}"], concepts=["minimum and maximum"], k=_SMALL)
    add("is_even", "int", "bool", ("tell whether the number is even",), "{x} % 2 == 0", bugs=["{x} % 2 == 1", "{x} > 0"], concepts=["modular arithmetic", "comparison"])
    add("is_greater", "int", "bool", ("tell whether the number is greater than {k}",), "{x} > {k}", bugs=["{x} < {k}", "{x} >= {k}"], concepts=["comparison"], k=_SMALL)
    add("divides", "int", "bool", ("tell whether the number is a multiple of {k}",), "{x} % {k} == 0", bugs=["{x} % {k} == 1", "{x} > {k}"], concepts=["modular arithmetic", "comparison"], k=(3, 4, 5))
    add("to_text", "int", "text", ("convert the number to a text",), "str({x})", bugs=["repr(str({x}))", "str({x} + 1)"], concepts=["type conversion"])
    add("up_to", "int", "ints", ("list the numbers from 1 to the number",), "list(range(1, {x} + 1))", bugs=["list(range({x}))", "list(range(1, {x}))"], concepts=["ranges", "iteration"])
    add("below", "int", "ints", ("list the numbers from 0 up to but not including the number",), "list(range({x}))", bugs=["list(range({x} + 1))", "list(range(1, {x}))"], concepts=["ranges", "iteration"])
    add("negation", "bool", "bool", ("negate the truth value",), "not {x}", bugs=["{x}"], concepts=["boolean logic"])
    return ops


OPS = _build()
BY_SOURCE: dict[str, list[Op]] = {kind: [op for op in OPS if op.source == kind] for kind in KINDS}


def pair_held_out(first: Op, second: Op) -> bool:
    """Whether the pair of operations is kept out of the training corpus (decided by family, so that equal code is)."""
    digest = hashlib.sha256(f"{first.family}>{second.family}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT_PAIRS


def draw_values(op: Op, rng: random.Random) -> dict:
    """Values for the operation's parameters."""
    return {name: rng.choice(choices) for name, choices in op.values.items()}
