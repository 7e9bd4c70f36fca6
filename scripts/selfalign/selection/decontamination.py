"""Does a text contain a benchmark problem? Hashed indices of word n-grams over all benchmarks, one pass over the text.

A problem has up to three fragments: its prompt, the prose of the prompt (without signature and examples) and its solution. Words are
runs of letters, digits and underscores in lower case, so that layout, quotes, operators and capitals do not hide a copy. What is
generic does not count: an n-gram that `GENERIC_PROBLEMS` or more problems of the same benchmark share ("takes a list of integers and
returns ..."), and a fragment with fewer words than an n-gram.

A text contains a problem if it has, of the n-grams left of one fragment,

- of n words (the config's `ngram`): `OWN_SHARE` of them, or `OWN_NGRAMS`, which is a passage of a long fragment;
- of n // 2 + 1 words: `HALF_SHARE` of them, for prompts and prose only. That finds short problem statements and those with a changed
  word; solutions are left out, because a line or two of code is too generic.

Measured with n = 10 on HumanEval (164 problems) and an early MBPP+ (399). Found: every prompt; 162 and 399 of the proses; 145 and 315 of the
solutions (most others have fewer than ten words); prompts under another function name 155 and 399, with one word replaced 163 and 236, with
three 142 and 36. Flagged by mistake: none of 1,704 functions of the standard library; 59 of 2,000 templated instructions that share
their phrases with the miniature benchmark.
"""

import ast
import gzip
import json
import os
import re
import textwrap
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfalign.data.errors import InputError
from selfalign.dedup.shingles import ngram_hashes, word_hashes

GENERIC_PROBLEMS = 3
OWN_SHARE = 0.5
OWN_NGRAMS = 10
HALF_SHARE = 0.6
_CHUNK_TEXTS = 2048

# Where the formats that BENCHMARKS use keep their texts: HumanEval and EvalPlus, MBPP, LiveCodeBench, DS-1000.
_PROMPTS = ("prompt", "text", "question_content")
_SOLUTIONS = ("canonical_solution", "code", "reference_code")
_IDS = ("task_id", "question_id")

# Where the prose of a problem ends and its examples begin.
_EXAMPLES = re.compile(r"^\s*(>>>|assert\b|(for )?examples?\b|e\.g\.|note\b|\w+\(.*\)\s*(==|=>|->|➞|=))", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Hit:
    """A benchmark problem that a text contains."""

    benchmark: str
    task: str
    found: int  # n-grams of the fragment that the text has
    own: int  # n-grams of the fragment that are not generic

    def __str__(self) -> str:
        return f"{self.benchmark} {self.task} ({self.found} of {self.own} n-grams)"


@dataclass(frozen=True)
class Problem:
    """The fragments of a benchmark problem that a text is searched for."""

    benchmark: str
    task: str
    statements: tuple[str, ...]  # prompts and their prose
    solutions: tuple[str, ...]


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
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"benchmark {path}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"benchmark {path}: not readable ({error})") from error
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"benchmark {path}: line {number} is not JSON ({error})") from error
        prompts = [row[key] for key in _PROMPTS if isinstance(row, dict) and isinstance(row.get(key), str)]
        solutions = [row[key] for key in _SOLUTIONS if isinstance(row, dict) and isinstance(row.get(key), str)]
        if not prompts and not solutions:
            raise InputError(f"benchmark {path}: line {number} has none of {', '.join(_PROMPTS + _SOLUTIONS)}")
        task = next((str(row[key]) for key in _IDS if key in row), str(number))
        problems.append(Problem(name, task, tuple(dict.fromkeys([*prompts, *map(prose_of, prompts)])), tuple(solutions)))
    if not problems:
        raise InputError(f"benchmark {path}: no problem in it")
    return problems


class Decontamination:
    """All benchmark problems, ready to be looked for in many texts."""

    def __init__(self, benchmarks: Iterable[Sequence[Problem]], ngram: int):
        benchmarks = list(benchmarks)
        whole = [[(problem, text) for problem in problems for text in problem.statements + problem.solutions] for problems in benchmarks]
        half = [[(problem, text) for problem in problems for text in problem.statements] for problems in benchmarks]
        self._indices = (_Index(whole, ngram, OWN_SHARE, OWN_NGRAMS), _Index(half, ngram // 2 + 1, HALF_SHARE, None))

    def find(self, texts: Sequence[str]) -> list[Hit | None]:
        """For each text the benchmark problem that it contains (that of which it has the largest share of n-grams), or None."""
        hits: list[Hit | None] = []
        for start in range(0, len(texts), _CHUNK_TEXTS):
            words, counts = word_hashes(texts[start : start + _CHUNK_TEXTS])
            found = [index.find(words, counts) for index in self._indices]
            hits += [min(filter(None, several), key=lambda hit: -hit.found / hit.own, default=None) for several in zip(*found, strict=True)]
        return hits


class _Index:
    """The n-grams of the fragments of all benchmarks, for one n.

    A text contains a fragment if it has `share` of its n-grams (the generic ones left out), or `many` of them.
    """

    def __init__(self, benchmarks: Sequence[Sequence[tuple[Problem, str]]], n: int, share: float, many: int | None):
        self._n = n
        self._problems = [problem for fragments in benchmarks for problem, _ in fragments]
        hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        offset = 0
        for fragments in benchmarks:
            grams, fragment = self._specific_ngrams(fragments)
            hashes.append(grams)
            owners.append(fragment + offset)
            offset += len(fragments)
        owner = np.concatenate(owners)
        order = np.lexsort((owner, np.concatenate(hashes)))
        # Fragments by n-gram: those of hash number i are owners[starts[i] : starts[i + 1]].
        self._hashes, first = np.unique(np.concatenate(hashes)[order], return_index=True)
        self._starts = np.concatenate((first, [len(order)]))
        self._owners = owner[order]
        self._own = np.bincount(owner, minlength=offset)
        self._needed = np.maximum(np.ceil(self._own * share), 1)
        if many is not None:
            self._needed = np.minimum(self._needed, many)

    def _specific_ngrams(self, fragments: Sequence[tuple[Problem, str]]) -> tuple[np.ndarray, np.ndarray]:
        """(n-gram hashes, number of the fragment) of one benchmark: each n-gram once per fragment, generic ones left out."""
        words, counts = word_hashes([text for _, text in fragments])
        hashes, sizes = ngram_hashes(words, counts, self._n)
        fragment = np.repeat(np.arange(len(fragments)), sizes)
        whole = counts[fragment] >= self._n
        hashes, fragment = hashes[whole], fragment[whole]
        number_of = {problem.task: number for number, (problem, _) in enumerate(fragments)}
        problem_of = np.array([number_of[problem.task] for problem, _ in fragments], np.int64)
        grams, gram = np.unique(hashes, return_inverse=True)
        by_problem = np.unique(np.stack((gram, problem_of[fragment])), axis=1)
        specific = np.bincount(by_problem[0], minlength=len(grams)) < GENERIC_PROBLEMS
        own = np.unique(np.stack((gram[specific[gram]], fragment[specific[gram]])), axis=1)
        return grams[own[0]], own[1]

    def find(self, words: np.ndarray, counts: np.ndarray) -> list[Hit | None]:
        """For each text, given by its words' hashes, the fragment of which it has the largest share, or None."""
        hits: list[Hit | None] = [None] * len(counts)
        if not len(self._hashes):
            return hits
        hashes, sizes = ngram_hashes(words, counts, self._n)
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        known = self._hashes[place] == hashes
        # (text, n-gram) pairs, an n-gram once per text; then (text, fragment) pairs, counted.
        text, gram = np.unique(np.stack((np.repeat(np.arange(len(counts)), sizes)[known], place[known])), axis=1)
        several = self._starts[gram + 1] - self._starts[gram]
        within = np.arange(int(several.sum())) - np.repeat(np.cumsum(several) - several, several)
        fragment = self._owners[np.repeat(self._starts[gram], several) + within]
        pairs, found = np.unique(np.stack((np.repeat(text, several), fragment)), axis=1, return_counts=True)
        enough = found >= self._needed[pairs[1]]
        for row, owner, number in zip(*pairs[:, enough].tolist(), found[enough].tolist(), strict=True):
            hit = Hit(self._problems[owner].benchmark, self._problems[owner].task, number, int(self._own[owner]))
            best = hits[row]
            if best is None or hit.found / hit.own > best.found / best.own:  # of equal ones the first
                hits[row] = hit
        return hits
