import random

import numpy as np
import pytest
from datasketch import MinHash

from selfalign.dedup.shingles import ngram_hashes, word_hashes, words_of
from selfalign.dedup.signatures import shingle_hashes32, sign, signatures_of

WORDS = [f"w{i}" for i in range(50)]


def texts(count, seed=1, longest=300):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(count)]


def of_one(text, n):
    return ngram_hashes(*word_hashes([text]), n)[0]


def test_words_are_lower_case_runs_of_letters_digits_and_underscores():
    assert words_of("Return a_b+2, größer!\n`x`") == ["return", "a_b", "2", "größer", "x"]


@pytest.mark.parametrize("permutations", [2, 128, 250])
def test_signatures_equal_those_of_datasketch(permutations):
    batch = texts(60) + ["one", "one two", "\ud800 lone surrogate", "x" * 10_000]
    rows, indices = signatures_of(batch, 5, permutations)
    assert indices.tolist() == list(range(len(batch)))
    for text, row in zip(batch, rows, strict=True):
        reference = MinHash(num_perm=permutations, hashfunc=int, scheme="affine32")
        reference.update_batch(shingle_hashes32(of_one(text, 5)).tolist())
        assert np.array_equal(row, reference.hashvalues)


def test_ngrams_depend_on_their_words_and_order_alone():
    shared = of_one("a b c d e", 3)
    assert np.array_equal(of_one("A, B! c\nd  e", 3), shared)
    assert set(of_one("x a b c y", 3)) & set(shared) == {shared[0]}
    assert set(of_one("c b a", 3)).isdisjoint(shared)
    assert len(set(of_one("a a a a a", 2))) == 1


def test_ngrams_of_a_text_do_not_depend_on_its_neighbours():
    batch = ["", "one", "one two three", *texts(20), "!", "one two three four five six"]
    flat, sizes = ngram_hashes(*word_hashes(batch), 5)
    ends = np.cumsum(sizes)
    for text, start, end in zip(batch, ends - sizes, ends, strict=True):
        assert np.array_equal(flat[start:end], of_one(text, 5))
    assert sizes[:3].tolist() == [0, 1, 1]


def test_a_short_text_is_like_itself_only():
    one, same, longer = (set(of_one(text, 5).tolist()) for text in ("a b c", "A b, c", "a b c d"))
    assert one == same
    assert one.isdisjoint(longer)


def test_a_text_without_words_has_no_signature_and_the_others_keep_theirs():
    batch = ["?!", "a b c d e f", "", "b c d e f g"]
    table = sign(["0", "1", "2", "3"], batch, 5, 16)
    assert table["id"].to_pylist() == ["1", "3"]
    assert table["signature"][0].as_py() == sign(["1"], [batch[1]], 5, 16)["signature"][0].as_py()
    assert sign([], [], 5, 16).num_rows == 0


def test_a_batch_gives_what_its_texts_give_alone():
    batch = texts(30, seed=2)
    rows, _ = signatures_of(batch, 5, 32)
    alone = np.concatenate([signatures_of([text], 5, 32)[0] for text in batch])
    assert np.array_equal(rows, alone)
