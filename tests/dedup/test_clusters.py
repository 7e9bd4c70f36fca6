import random

import numpy as np
import pytest
from datasketch import MinHashLSH

from selfalign.data.errors import ConfigError
from selfalign.data.files import read_shard, write_table
from selfalign.data.ids import content_id, ids_of, numbers_of, shard_of
from selfalign.dedup.bands import band, band_parameters, band_schema
from selfalign.dedup.clusters import dropped_ids, representatives, write_keep_lists
from selfalign.dedup.links import write_links
from selfalign.dedup.shingles import words_of
from selfalign.dedup.signatures import sign

PERMUTATIONS = 250
NOBODY = np.zeros(0, np.uint64)


@pytest.fixture
def keep_lists(tmp_path):
    """The rows of the keep-lists of {id: text}, over files as the rules make them."""

    def run(texts, threshold=0.7, shards=1, groups=1, verify="signature", excluded=NOBODY, order=list):
        cfg = {"threshold": threshold, "ngram": 5, "permutations": PERMUTATIONS, "verify": verify}
        inside = [order([row for row in texts if shard_of(row, shards) == shard]) for shard in range(shards)]
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        bands = [folder / f"bands-{shard}.parquet" for shard in range(shards)]
        for rows, path in zip(inside, bands, strict=True):
            table = band(sign(rows, [texts[row] for row in rows], 5, PERMUTATIONS), cfg)
            write_table(table, path, band_schema(cfg))
        links = [folder / f"links-{group}.parquet" for group in range(groups)]
        for group, path in enumerate(links):
            shards_of_texts = ((rows, [texts[row] for row in rows]) for rows in inside)
            write_links(bands, shards_of_texts, (group, groups), excluded, cfg, path, folder / "spool")
        lists = [folder / f"{shard}.parquet" for shard in range(shards)]
        write_keep_lists(links, lists)
        for rows, path in zip(inside, lists, strict=True):
            assert set(read_shard(path)["id"].to_pylist()) <= set(rows)
        return [row for path in lists for row in read_shard(path).to_pylist()]

    return run


@pytest.fixture
def clusters_of(keep_lists):
    """Clusters by representative, of texts by id. Names for ids are padded to their length."""

    def run(texts, threshold=0.7, **options):
        named = {f"{name.encode().hex():0<16}": name for name in texts}
        assert list(map(len, named)) == [16] * len(named)
        found, sizes = {}, {}
        for row in keep_lists({row: texts[name] for row, name in named.items()}, threshold, **options):
            found.setdefault(named[row["representative"]], set()).add(named[row["id"]])
            sizes[named[row["representative"]]] = row["cluster_size"]
        assert sizes == {representative: len(members) for representative, members in found.items()}
        return found

    return run


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
    assert band_parameters(0.7, 250, "signature") == (25, 10)
    bands, rows = band_parameters(0.7, 250, "jaccard")
    assert 1 - (1 - 0.75**rows) ** bands > 0.95 and bands * rows <= 250, "where texts decide, bands may find too much but not too little"
    lsh = MinHashLSH(threshold=0.5, num_perm=128)
    assert band_parameters(0.5, 128, "signature") == (lsh.b, lsh.r)
    with pytest.raises(ConfigError, match="threshold 0.99 with 2 permutations"):
        band_parameters(0.99, 2, "signature")


def test_near_duplicates_cluster_and_the_smallest_id_stands_for_them(clusters_of):
    rng = random.Random(1)
    texts = {f"{i:02}": random_text(rng) for i in range(40)}
    for i, text in enumerate(variants(rng, texts["30"], 3)):
        assert jaccard(text, texts["30"]) > 0.85
        texts[f"0{i}x"] = text
    texts["zz"] = texts["07"].upper()
    assert clusters_of(texts) == {"00x": {"00x", "01x", "02x", "30"}, "07": {"07", "zz"}}


def test_texts_below_the_threshold_do_not_cluster(clusters_of):
    rng = random.Random(2)
    half = {}
    for i in range(60):
        head = random_text(rng, 60)
        half[f"{i:02}a"], half[f"{i:02}b"] = head + " " + random_text(rng, 60), head + " " + random_text(rng, 60)
    assert 0.3 < jaccard(half["00a"], half["00b"]) < 0.4
    assert clusters_of(half, 0.7) == {}
    assert clusters_of({name: head for name, head in half.items() if name.endswith("a")}, 0.5) == {}


def test_recall_and_precision_around_the_threshold(clusters_of):
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


def corpus(rng, families=12, copies=4):
    """Texts by content id: families of near-duplicates, some far, some near, and loners."""
    texts = [text for _ in range(families) for text in variants(rng, random_text(rng), copies)]
    texts += [random_text(rng) for _ in range(30)]
    texts += ["the same licence text in every file, " + random_text(rng, 3) for _ in range(30)]
    return {content_id(text): text for text in texts}


@pytest.mark.parametrize("verify", ["signature", "jaccard"])
def test_neither_shards_nor_groups_nor_the_order_of_rows_matter(keep_lists, verify):
    texts = corpus(random.Random(4))
    expected = sorted(map(str, keep_lists(texts, 0.5, verify=verify)))
    assert len(expected) >= 48
    backwards = dict(reversed(texts.items()))
    for shards, groups in ((3, 2), (7, 5)):
        assert sorted(map(str, keep_lists(backwards, 0.5, shards, groups, verify, order=lambda rows: rows[::-1]))) == expected


def test_verified_clusters_are_the_components_of_the_true_jaccard_graph(keep_lists):
    """Brute force over all pairs; pairs near the threshold, which the bands may miss, are left out of the corpus."""
    rng = random.Random(6)
    texts = {}
    for _ in range(40):
        words = random_text(rng, 100).split()
        for cut in (0, 2, 4, 60):
            text = " ".join(words[cut:] + random_text(rng, cut).split())
            texts[content_id(text)] = text
    ids = sorted(texts)
    parents = {row: row for row in ids}

    def root(row):
        return row if parents[row] == row else root(parents[row])

    for i, left in enumerate(ids):
        for right in ids[i + 1 :]:
            similarity = jaccard(texts[left], texts[right])
            assert not 0.6 < similarity < 0.85
            if similarity >= 0.7:
                low, high = sorted((root(left), root(right)))
                parents[high] = low
    expected = {row: root(row) for row in ids if root(row) != row}
    assert len(expected) == 80
    assert {row["id"]: row["representative"] for row in keep_lists(texts, verify="jaccard") if row["id"] != row["representative"]} == expected


def test_verification_by_text_keeps_to_the_threshold_exactly(keep_lists):
    """Pairs around the threshold: the estimate is off by a few percent, the comparison of the texts is not."""
    rng = random.Random(8)
    texts, pairs = {}, {}
    for _ in range(150):
        words = random_text(rng, 100).split()
        cut = rng.randrange(8, 26)
        left, right = " ".join(words), " ".join(words[cut:] + random_text(rng, cut).split())
        pairs[frozenset((content_id(left), content_id(right)))] = jaccard(left, right)
        texts |= {content_id(left): left, content_id(right): right}
    similar = {pair for pair, value in pairs.items() if value >= 0.7}
    found = {frozenset((row["id"], row["representative"])) for row in keep_lists(texts, verify="jaccard") if row["id"] != row["representative"]}
    assert found <= similar, "no pair below the threshold"
    assert len(found) >= 0.85 * len(similar) > 20
    estimated = {frozenset((row["id"], row["representative"])) for row in keep_lists(texts) if row["id"] != row["representative"]}
    assert estimated - similar, "else this test shows nothing"


def test_short_texts_are_compared_whole_and_never_lost(clusters_of):
    texts = {"a": "one two", "b": "One, two!", "c": "one two three", "d": "", "e": "?", "f": "two one"}
    assert clusters_of(texts) == {"a": {"a", "b"}}


def test_one_large_bucket_of_the_same_text_is_one_cluster(clusters_of):
    texts = {f"{i:04}": "the same licence text in every file of the project" for i in range(3000)}
    assert clusters_of(texts, shards=2, groups=2) == {"0000": set(texts)}


def test_a_threshold_of_one_turns_near_dedup_off(clusters_of):
    assert clusters_of({"a": "x y z", "b": "x y z"}, 1.0) == {}
    assert clusters_of({}) == {}


def test_a_later_pass_leaves_out_what_an_earlier_one_dropped(keep_lists):
    rng = random.Random(5)
    texts = {content_id(text): text for text in variants(rng, random_text(rng), 3)}
    first, second, third = sorted(texts)
    rows = keep_lists(texts, excluded=numbers_of([first]))
    assert {row["id"]: row["representative"] for row in rows} == {second: second, third: second}
    assert keep_lists(texts, excluded=numbers_of([first, second])) == []


def test_a_keep_list_names_who_stands_for_whom(tmp_path, keep_lists):
    rng = random.Random(5)
    texts = {content_id(text): text for text in variants(rng, random_text(rng), 2)}
    keep_lists(texts)
    table = read_shard(tmp_path / "0" / "0.parquet")
    first, second = sorted(texts)
    assert representatives(table) == {second: first}
    assert ids_of(dropped_ids([table])) == [second]


def test_ids_as_numbers_keep_their_order():
    ids = sorted(content_id(str(i)) for i in range(200)) + ["0000000000000000", "ffffffffffffffff"]
    assert ids_of(numbers_of(ids)) == ids
    assert ids_of(np.sort(numbers_of(ids))) == sorted(ids)
    assert ids_of(numbers_of([])) == []
