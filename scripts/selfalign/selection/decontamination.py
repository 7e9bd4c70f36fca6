"""Does a text contain a benchmark problem? Hashed indices of word n-grams over all benchmarks, one pass over the text.

A problem has up to three fragments: its prompt, the prose of the prompt (without signature and examples) and its solution. Words are
runs of letters, digits and underscores in lower case, so that layout, quotes, operators and capitals do not hide a copy. What is
generic does not count: an n-gram that `GENERIC_PROBLEMS` or more families of problems of the same benchmark share ("takes a list of integers
and returns ..."), one of numbers alone (1, 2, 3, ... in an example), and a fragment with fewer words than an n-gram. A family is what a
benchmark makes of one problem: rows with the same prompt, or variations of one origin (DS-1000). A prompt or solution of which every n-gram
is generic still counts as a whole: a text contains it if it has all of its n-grams.

A text contains a problem if it has, of the n-grams left of one fragment,

- of n words (the config's `ngram`): `OWN_SHARE` of them, or `OWN_NGRAMS`, which is a passage of a long fragment;
- of n // 2 + 1 words: `HALF_SHARE` of them, for prompts and prose only. That finds short problem statements; solutions are left out,
  because a line or two of code is too generic;
- of the skip-bigrams of a prose (two words in order, at most `REACH` words apart: ROUGE-S, Lin 2004): `PAIR_SHARE` of them, at least `PAIRS`.
  That finds paraphrases: of two words both survive where a fifth of all words is replaced in 64 of 100 cases, of six words all in 26.
  A prose is left out if less than `OWN_PAIRS` of its skip-bigrams are its own: the rest of a templated statement is a phrase.

A solution whose names were all changed has none of its n-grams left: code is also compared by shape (`shapes`).

What that finds, and what it flags by mistake, is measured by bench/bench_quality.py; docs/data.md has the numbers.
"""

import ast
import gzip
import json
import os
import re
import textwrap
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from selfalign.data.errors import InputError
from selfalign.dedup.kernels import best_fragments, place_hashes
from selfalign.dedup.shingles import ngram_hashes, skip_bigram_hashes, word_hashes, words_of
from selfalign.selection.shapes import shapes_of

GENERIC_PROBLEMS = 3
OWN_SHARE = 0.5
OWN_NGRAMS = 10
HALF_SHARE = 0.6
REACH = 4
PAIR_SHARE = 0.4
OWN_PAIRS = 0.3
PAIRS = 7
_CHUNK_TEXTS = 2048
_SLOTS_PER_NGRAM = 4  # at least, of the table in which n-grams are looked up

# Where the formats that BENCHMARKS use keep their texts: HumanEval and EvalPlus, MBPP, LiveCodeBench, DS-1000.
_PROMPTS = ("prompt", "text", "question_content")
_SOLUTIONS = ("canonical_solution", "code", "reference_code")
_IDS = ("task_id", "question_id", "problem_id")

# Numbers with no other word between them.
_NUMBERS = re.compile(r"(?<!\w)\d+(?:\W+\d+)*(?!\w)")
# Where the prose of a problem ends and its examples begin.
_EXAMPLES = re.compile(r"^\s*(>>>|assert\b|(for )?examples?\b|e\.g\.|note\b|\w+\(.*\)\s*(==|=>|->|➞|=))", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Hit:
    """A benchmark problem that a text contains."""

    benchmark: str
    task: str
    found: int  # n-grams of the fragment that the text has
    own: int  # n-grams of the fragment that are not generic
    what: str = "n-grams"

    def __str__(self) -> str:
        return f"{self.benchmark} {self.task} ({self.found} of {self.own} {self.what})"


@dataclass(frozen=True)
class RenamedHit:
    """A benchmark problem whose solution a text contains, under other names."""

    benchmark: str
    task: str

    def __str__(self) -> str:
        return f"{self.benchmark} {self.task} (its solution under other names)"


@dataclass(frozen=True)
class Problem:
    """The fragments of a benchmark problem that a text is searched for."""

    benchmark: str
    task: str
    statements: tuple[str, ...]  # prompts and their prose
    solutions: tuple[str, ...]
    family: str = ""  # the same for problems that are variations of one another; "" for none but itself


def prose_of(prompt: str) -> str:
    """The prose of a problem: its docstring up to the first example; a prompt without docstring is prose itself."""
    try:
        tree = ast.parse(prompt)
    except (SyntaxError, ValueError, RecursionError):
        tree = None
    if tree is not None:
        documented = (node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)))
        docstrings = [text for node in documented if (text := ast.get_docstring(node, clean=False))]
        prompt = docstrings[-1] if docstrings else prompt
    match = _EXAMPLES.search(prompt)
    prose = prompt[: match.start()] if match else prompt
    return textwrap.dedent(prose)


def load_benchmark(path: str | os.PathLike) -> list[Problem]:
    """Problems of a benchmark file (JSONL, also gzipped). InputError names the file, and the line that is no problem."""
    path = Path(path)
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"benchmark {path}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"benchmark {path}: not readable ({error})") from error
    problems = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: JSON may hold other line separators
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"benchmark {path}: line {number} is not JSON ({error})") from error
        row = row if isinstance(row, dict) else {}
        prompts = [row[key] for key in _PROMPTS if isinstance(row.get(key), str)]
        solutions = [row[key] for key in _SOLUTIONS if isinstance(row.get(key), str)]
        if not prompts and not solutions:
            raise InputError(f"benchmark {path}: line {number} has none of {', '.join(_PROMPTS + _SOLUTIONS)}")
        facts: dict[str, Any] = row["metadata"] if isinstance(row.get("metadata"), dict) else {}
        task = next((str(place[key]) for place in (row, facts) for key in _IDS if key in place), str(number))
        origin = facts.get("perturbation_origin_id")
        family = " ".join(words_of((prompts + solutions)[0])) if origin is None else f"{facts.get('library')} {origin}"
        problems.append(Problem(name, task, tuple(dict.fromkeys([*prompts, *map(prose_of, prompts)])), tuple(solutions), family))
    if not problems:
        raise InputError(f"benchmark {path}: no problem in it")
    return problems


class Decontamination:
    """All benchmark problems, ready to be looked for in many texts."""

    def __init__(self, benchmarks: Iterable[Sequence[Problem]], ngram: int):
        benchmarks = list(benchmarks)
        whole = [[(problem, text) for problem in problems for text in problem.statements + problem.solutions] for problems in benchmarks]
        half = [[(problem, text) for problem in problems for text in problem.statements] for problems in benchmarks]
        prose = [[(problem, text) for problem in problems for text in sorted(set(map(prose_of, problem.statements)))] for problems in benchmarks]
        size = ngram // 2 + 1
        self._indices = (
            _Index(whole, partial(ngram_hashes, n=ngram), ngram, OWN_SHARE, most=OWN_NGRAMS, generic_wholes=True),
            _Index(half, partial(ngram_hashes, n=size), size, HALF_SHARE),
            _Index(prose, partial(skip_bigram_hashes, reach=REACH), 2, PAIR_SHARE, least=PAIRS, own_share=OWN_PAIRS, what="word pairs"),
        )
        self._shapes = {shape: problem for problems in reversed(benchmarks) for shape, problem in _specific_shapes(problems)}

    def find_renamed(self, codes: Sequence[str]) -> list[RenamedHit | None]:
        """For each text of Python code the benchmark problem that one of its functions solves as the benchmark does, but for names; or None."""
        found = (next((self._shapes[shape] for shape in sorted(shapes_of(code)) if shape in self._shapes), None) for code in codes)
        return [problem and RenamedHit(problem.benchmark, problem.task) for problem in (found if self._shapes else [None] * len(codes))]

    def find(self, texts: Sequence[str]) -> list[Hit | None]:
        """For each text the benchmark problem that it contains (that of which it has the largest share of n-grams), or None."""
        hits: list[Hit | None] = []
        for start in range(0, len(texts), _CHUNK_TEXTS):
            words, counts = word_hashes(texts[start : start + _CHUNK_TEXTS])
            found = [index.find(words, counts) for index in self._indices]
            hits += [min(filter(None, several), key=lambda hit: -hit.found / hit.own, default=None) for several in zip(*found, strict=True)]
        return hits


def _specific_shapes(problems: Sequence[Problem]) -> list[tuple[bytes, Problem]]:
    """The shapes of the solutions of one benchmark, each with the first problem that has it; those of `GENERIC_PROBLEMS` families are left out."""
    owners: dict[bytes, list[Problem]] = {}
    for problem in problems:
        codes = [*problem.solutions, *(statement + solution for statement in problem.statements for solution in problem.solutions)]
        for shape in sorted(set().union(*map(shapes_of, codes))):
            owners.setdefault(shape, []).append(problem)
    return [(shape, several[0]) for shape, several in owners.items() if len({one.family or one.task for one in several}) < GENERIC_PROBLEMS]


def _distinct(gram: np.ndarray, fragment: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each pair of n-gram and fragment once."""
    first = np.unique(gram.astype(np.int64) * (fragment.max(initial=0) + 1) + fragment, return_index=True)[1]
    return gram[first], fragment[first], keep[first]


class _Index:
    """The n-grams of the fragments of all benchmarks, as `grams_of` takes them from words; fragments of fewer than `words` words have none.

    A text contains a fragment if it has `share` of its n-grams (the generic ones left out) and `least` of them, or `most` of them; but none of
    which less than `own_share` are left. `generic_wholes`: prompts and solutions that consist of generic n-grams are in the index too, and a
    text contains one if it has all of them.
    """

    def __init__(
        self,
        benchmarks: Sequence[Sequence[tuple[Problem, str]]],
        grams_of: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
        words: int,
        share: float,
        *,
        least: int = 1,
        most: int | None = None,
        own_share: float = 0.0,
        generic_wholes: bool = False,
        what: str = "n-grams",
    ):
        self._what = what
        self._grams_of = grams_of
        self._words = words
        self._generic_wholes = generic_wholes
        self._problems = [problem for fragments in benchmarks for problem, _ in fragments]
        hashes, owners, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        all_needed = np.zeros(len(self._problems), bool)
        offset = 0
        for fragments in benchmarks:
            grams, fragment, generic, number = self._indexed_ngrams(fragments)
            all_needed[offset + generic] = True
            hashes.append(grams)
            owners.append(fragment + offset)
            sizes.append(number)
            offset += len(fragments)
        owner = np.concatenate(owners)
        order = np.lexsort((owner, np.concatenate(hashes)))
        # Fragments by n-gram: those of hash number i are owners[starts[i] : starts[i + 1]].
        self._hashes, first = np.unique(np.concatenate(hashes)[order], return_index=True)
        self._starts = np.concatenate((first, [len(order)]))
        self._owners = owner[order]
        self._own = np.bincount(owner, minlength=offset)
        self._needed = np.maximum(np.ceil(self._own * share), least)
        self._needed[self._own < np.concatenate(sizes) * own_share] = np.inf
        if most is not None:
            self._needed = np.minimum(self._needed, most)
        self._needed = np.where(all_needed, self._own, self._needed)
        width = max(16, (_SLOTS_PER_NGRAM * len(self._hashes)).bit_length())
        self._shift = np.uint64(64 - width)
        self._slots = np.full(1 << width, -1, np.int32)
        place_hashes(self._hashes, self._shift, self._slots)

    def _indexed_ngrams(self, fragments: Sequence[tuple[Problem, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(n-gram hashes, number of the fragment of each, fragments that are generic throughout, n-grams of each fragment) of one benchmark.

        Each n-gram once per fragment; of the hashes the generic ones are left out, but for those of prompts and solutions that have no others.
        """
        words, counts = word_hashes([text for _, text in fragments])
        hashes, sizes = self._grams_of(words, counts)
        fragment = np.repeat(np.arange(len(fragments)), sizes)
        whole = counts[fragment] >= self._words
        hashes, fragment = hashes[whole], fragment[whole]
        number_of: dict[str, int] = {}
        families = [number_of.setdefault(problem.family or problem.task, len(number_of)) for problem, _ in fragments]
        family_of = np.array(families, np.int64)
        grams, gram = np.unique(hashes, return_inverse=True)
        families_of, _, _ = _distinct(gram, family_of[fragment], gram)
        numbers, _ = self._grams_of(*word_hashes([run for _, text in fragments for run in _NUMBERS.findall(text)]))
        specific = (np.bincount(families_of, minlength=len(grams)) < GENERIC_PROBLEMS) & ~np.isin(grams, numbers)
        keep = specific[gram]
        generic = np.zeros(0, np.int64)
        if self._generic_wholes:
            may = np.array([text in problem.solutions or text == problem.statements[0] for problem, text in fragments], bool)
            has_own = np.bincount(fragment[keep], minlength=len(fragments)) > 0
            keep = keep | (may & ~has_own)[fragment]
            generic = np.unique(fragment[keep & ~has_own[fragment]])
        gram, fragment, keep = _distinct(gram, fragment, keep)
        return grams[gram[keep]], fragment[keep], generic, np.bincount(fragment, minlength=len(fragments))

    def find(self, words: np.ndarray, counts: np.ndarray) -> list[Hit | None]:
        """For each text, given by its words' hashes, the fragment of which it has the largest share, or None."""
        hits: list[Hit | None] = [None] * len(counts)
        if not len(self._hashes):
            return hits
        hashes, sizes = self._grams_of(words, counts)
        best, shared = np.empty(len(counts), np.int64), np.empty(len(counts), np.int64)
        best_fragments(hashes, sizes, self._hashes, self._shift, self._slots, self._starts, self._owners, self._own, self._needed, best, shared)
        for row in np.flatnonzero(best >= 0).tolist():
            problem = self._problems[best[row]]
            hits[row] = Hit(problem.benchmark, problem.task, int(shared[row]), int(self._own[best[row]]), self._what)
        return hits
