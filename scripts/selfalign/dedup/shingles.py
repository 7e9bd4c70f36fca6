"""Word n-grams of texts as hashes: for MinHash signatures and for decontamination.

Words are runs of letters, digits and underscores (`\\w+`), lower case. A word's hash is BLAKE2b; an n-gram's is a polynomial in its words'
hashes, mixed, so that one pass of numpy makes all n-grams of many texts.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

_WORD = re.compile(r"\w+")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying by it modulo 2^64 loses nothing
_VOCABULARY_SIZE = 1_000_000  # words remembered before starting afresh: bounds memory (about 100 MB)


class _Vocabulary(dict):
    """Word -> 64-bit hash."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _VOCABULARY_SIZE:
            self.clear()
        value = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = value
        return value


_HASH_OF = _Vocabulary()


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text.lower())


def word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hashes of the words of all texts [w], number of words of each text [t])."""
    words = [words_of(text) for text in texts]
    counts = np.fromiter(map(len, words), np.int64, len(words))
    flat = np.fromiter((_HASH_OF[word] for text in words for word in text), np.uint64, int(counts.sum()))
    return flat, counts


def ngram_hashes(flat: np.ndarray, counts: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hashes of the word n-grams of all texts [s], number of n-grams of each text [t]), from what `word_hashes` gives.

    A text of 1 to n - 1 words has one shingle, all its words; a text without words has none.
    """
    short = counts < n
    sizes = np.where(short, np.minimum(counts, 1), counts - n + 1)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])) if len(counts) else np.zeros(0, np.int64)
    # The word at which each shingle begins: an index that runs on within a text.
    ends = np.cumsum(sizes)
    first = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - sizes, sizes) + np.repeat(starts, sizes)
    length = np.repeat(np.minimum(counts, n), sizes)
    padded = np.concatenate((flat, np.zeros(n, np.uint64)))
    hashes = np.zeros(len(first), np.uint64)
    for k in range(n):
        # A shorter shingle ends at its own last word, so that its hash does not depend on the text after it.
        hashes = np.where(k < length, hashes * _BASE + padded[first + k], hashes)
    return _mix(hashes), sizes


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection that spreads every bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
