"""Word n-grams of texts as hashes: for MinHash signatures and for decontamination.

Words are runs of letters, digits and underscores (`\\w+`), lower case. Both hashes are 64 bits wide: among the n-grams of a million functions
(150 million) the expected number of collisions is below 0.001.
"""

import re
from collections.abc import Sequence

import numpy as np

from selfalign.dedup.kernels import hash_ngrams, hash_skip_bigrams, hash_words

_WORD = re.compile(r"\w+")


def _letters() -> np.ndarray:
    """For each byte of UTF-8 what stands for it in a word: ASCII in lower case, all other characters as they are; 0 for what separates words."""
    letters = np.zeros(256, np.uint8)
    for byte in range(256):
        if byte >= 128:
            letters[byte] = byte
        elif re.match(r"\w", chr(byte)):
            letters[byte] = ord(chr(byte).lower())
    return letters


_LETTERS = _letters()


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text.lower())


def _encoded(text: str) -> bytes:
    """A text in which a byte tells whether it is in a word: with other than ASCII characters, its words with spaces between."""
    return text.encode() if text.isascii() else " ".join(words_of(text)).encode("utf-8", "surrogatepass")


def word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hashes of the words of all texts [w], number of words of each text [t])."""
    parts = [_encoded(text) for text in texts]
    ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
    data = np.frombuffer(b"".join(parts), np.uint8)
    hashes = np.empty((len(data) + len(parts) + 1) // 2, np.uint64)
    counts = np.empty(len(parts), np.int64)
    return hashes[: hash_words(data, ends, _LETTERS, hashes, counts)], counts


def ngram_hashes(words: np.ndarray, counts: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hashes of the word n-grams of all texts [s], number of n-grams of each text [t]), from what `word_hashes` gives.

    A text of 1 to n - 1 words has one shingle, all its words; a text without words has none.
    """
    hashes = np.empty(len(words), np.uint64)
    sizes = np.empty(len(counts), np.int64)
    return hashes[: hash_ngrams(words, counts, n, hashes, sizes)], sizes


def skip_bigram_hashes(words: np.ndarray, counts: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hashes of all skip-bigrams [s], number of each text [t]): pairs of words in order, at most `reach` words apart (ROUGE-S, Lin 2004)."""
    hashes = np.empty(reach * len(words), np.uint64)
    sizes = np.empty(len(counts), np.int64)
    return hashes[: hash_skip_bigrams(words, counts, reach, hashes, sizes)], sizes
