"""Functions of the packages that are installed here, a corpus of mutated ones with known near-duplicates, and the quality of an answer."""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from importlib.metadata import distributions
from itertools import combinations

from selfalign.dedup.shingles import words_of

SEED = 7
THRESHOLD = 0.7  # Jaccard similarity of word 5-grams from which two texts are near-duplicates


def packages() -> list[dict]:
    """One source with every installed package. The licences do not matter: nothing is published."""
    names = sorted({package.metadata["Name"] for package in distributions() if package.metadata["Name"]})
    source = {"name": "packages", "kind": "packages", "path": "", "packages": names, "data_dir": "", "split": "train", "licence": "MIT", "limit": 0}
    return [{**source, "columns": {"content": "content", "path": "path", "repository": "repo_name", "licence": "license"}}]


def mutated(texts: list[str], count: int, seed: int = SEED) -> Iterator[tuple[int, str]]:
    """`count` texts in families: (family, text). A family is a function with most of its words renamed, so that it resembles no other one, and up to
    three copies in which one stretch of words is replaced: from 1 to 60 percent, so that similarities lie on both sides of the threshold.
    """
    rng = random.Random(seed)
    family = made = 0
    words = [text.split() for text in texts]
    words = [item for item in words if 30 <= len(item) <= 400]
    while made < count:
        base = rng.choice(words)
        names = {word: word if rng.random() < 0.2 else f"{word}_{family}" for word in sorted(set(base))}
        own = [names[word] for word in base]
        copies = [own]
        for number in range(rng.choice((0, 0, 0, 1, 2, 3))):
            changed = max(1, int(len(own) * rng.choice((0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.6))))
            start = rng.randrange(len(own) - changed + 1)
            fresh = [f"new{family}_{number}_{i}" for i in range(changed)]
            copies.append(own[:start] + fresh + own[start + changed :])
        for copy in copies:
            yield family, " ".join(copy)
            made += 1
        family += 1


def jaccard(left: str, right: str) -> float:
    sets = [{tuple(words[i : i + 5]) for i in range(max(len(words) - 4, 1))} for words in map(words_of, (left, right))]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def true_pairs(corpus: list[tuple[int, str]]) -> set[tuple[int, int]]:
    """Pairs of rows in one connected component of the graph of pairs with a Jaccard similarity of the threshold or more. Families are unlike."""
    families = defaultdict(list)
    for row, (family, _) in enumerate(corpus):
        families[family].append(row)
    pairs = set()
    for rows in families.values():
        groups = {row: {row} for row in rows}
        for left, right in combinations(rows, 2):
            if jaccard(corpus[left][1], corpus[right][1]) >= THRESHOLD:
                union = groups[left] | groups[right]
                groups.update(dict.fromkeys(union, union))
        pairs |= {pair for group in groups.values() for pair in combinations(sorted(group), 2)}
    return pairs


def quality(groups: Sequence[Hashable], truth: set[tuple[int, int]]) -> str:
    """Precision and recall of pairs in one group, of rows with these group numbers."""
    members = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    found = {pair for rows in members.values() for pair in combinations(rows, 2)}
    return f"precision {len(found & truth) / max(len(found), 1):.4f}, recall {len(found & truth) / max(len(truth), 1):.4f}"


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Group number of each row."""
    parents = list(range(count))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parents[high] = low
    return [root(row) for row in range(count)]
