import random

import pytest
from datasketch import MinHashLSH

from selfalign.data.errors import ConfigError
from selfalign.dedup.clusters import band_parameters, cluster, representatives, without
from selfalign.dedup.shingles import words_of
from selfalign.dedup.signatures import sign

PERMUTATIONS = 250


def clusters_of(texts, threshold=0.7):
    """Clusters by representative, of texts by id."""
    table = cluster(sign(list(texts), list(texts.values()), 5, PERMUTATIONS), threshold, PERMUTATIONS)
    found = {}
    for row in table.to_pylist():
        found.setdefault(row["representative"], set()).add(row["id"])
    sizes = {row["representative"]: row["cluster_size"] for row in table.to_pylist()}
    assert sizes == {representative: len(members) for representative, members in found.items()}
    return found


def random_text(rng, words=80):
    return " ".join(f"w{rng.randrange(5000)}" for _ in range(words))


def jaccard(left, right):
    shingles = [{tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in map(words_of, (left, right))]
    return len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


def variants(rng, text, count):
    """`text` with one word replaced, each time another one near its end."""
    words = text.split()
    return [" ".join([*words[: -1 - i], f"changed{i}", *words[len(words) - i :]]) for i in range(count)]


def test_bands_are_those_of_datasketch_and_of_the_published_run():
    assert band_parameters(0.7, 250) == (25, 10)
    lsh = MinHashLSH(threshold=0.5, num_perm=128)
    assert band_parameters(0.5, 128) == (lsh.b, lsh.r)
    with pytest.raises(ConfigError, match="threshold 0.99 with 2 permutations"):
        band_parameters(0.99, 2)


def test_near_duplicates_cluster_and_the_smallest_id_stands_for_them():
    rng = random.Random(1)
    texts = {f"{i:02}": random_text(rng) for i in range(40)}
    for i, text in enumerate(variants(rng, texts["30"], 3)):
        assert jaccard(text, texts["30"]) > 0.85
        texts[f"0{i}x"] = text
    texts["zz"] = texts["07"].upper()
    assert clusters_of(texts) == {"00x": {"00x", "01x", "02x", "30"}, "07": {"07", "zz"}}


def test_texts_below_the_threshold_do_not_cluster():
    rng = random.Random(2)
    half = {}
    for i in range(60):
        head = random_text(rng, 60)
        half[f"{i:02}a"], half[f"{i:02}b"] = head + " " + random_text(rng, 60), head + " " + random_text(rng, 60)
    assert 0.3 < jaccard(half["00a"], half["00b"]) < 0.4
    assert clusters_of(half, 0.7) == {}
    assert clusters_of({name: head for name, head in half.items() if name.endswith("a")}, 0.5) == {}


def test_recall_and_precision_around_the_threshold():
    """Of pairs with a Jaccard similarity above 0.8 nearly all are found at threshold 0.7, of pairs below 0.6 none."""
    rng = random.Random(3)
    texts, pairs = {}, {}
    for i in range(200):
        words = random_text(rng, 120).split()
        start = rng.randrange(1, 70)
        left, right = " ".join(words), " ".join(words[start:] + random_text(rng, start).split())
        texts[f"{i:03}a"], texts[f"{i:03}b"] = left, right
        pairs[f"{i:03}"] = jaccard(left, right)
    found = {next(iter(members))[:3] for members in clusters_of(texts).values()}
    similar = {pair for pair, value in pairs.items() if value >= 0.8}
    different = {pair for pair, value in pairs.items() if value < 0.6}
    assert len(similar) > 15 and len(different) > 50
    assert len(similar & found) >= 0.97 * len(similar)
    assert not different & found


def test_the_order_of_rows_does_not_matter():
    rng = random.Random(4)
    texts = {f"{rng.randrange(10**6):06}": text for _ in range(10) for text in variants(rng, random_text(rng), 4)}
    signatures = sign(list(texts), list(texts.values()), 5, PERMUTATIONS)
    expected = cluster(signatures, 0.7, PERMUTATIONS)
    order = list(range(signatures.num_rows))
    rng.shuffle(order)
    assert cluster(signatures.take(order), 0.7, PERMUTATIONS).equals(expected)
    assert expected.num_rows == len(texts)


def test_short_texts_are_compared_whole_and_never_lost():
    texts = {"a": "one two", "b": "One, two!", "c": "one two three", "d": "", "e": "?", "f": "two one"}
    assert clusters_of(texts) == {"a": {"a", "b"}}


def test_one_large_bucket_of_the_same_text_is_one_cluster():
    texts = {f"{i:04}": "the same licence text in every file of the project" for i in range(3000)}
    assert clusters_of(texts) == {"0000": set(texts)}


def test_a_threshold_of_one_turns_near_dedup_off():
    assert clusters_of({"a": "x y z", "b": "x y z"}, 1.0) == {}
    assert clusters_of({}) == {}


def test_a_later_pass_leaves_out_what_an_earlier_one_dropped():
    rng = random.Random(5)
    text = random_text(rng)
    first = cluster(sign(["a", "b"], [text, text], 5, PERMUTATIONS), 0.7, PERMUTATIONS)
    dropped = representatives(first)
    assert dropped == {"b": "a"}
    later = without(sign(["a", "b", "c"], [random_text(rng), text, text], 5, PERMUTATIONS), dropped)
    assert later["id"].to_pylist() == ["a", "c"]
    assert cluster(later, 0.7, PERMUTATIONS).num_rows == 0
