"""The loops of shingling, signing and comparing, compiled. All arithmetic on hashes is modulo 2^32 or 2^64."""

import numpy as np
from numba import njit


@njit(cache=True)
def mix64(value):
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection that spreads every bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True)
def mix32(value):
    """The 32-bit finaliser of MurmurHash3 (Appleby 2011), which datasketch's scheme affine32 puts before its permutations."""
    value = np.uint32(value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    value = np.uint32(np.uint32(value) ^ (np.uint32(value) >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    value = np.uint32(value)
    return np.uint32(value ^ (value >> np.uint32(16)))


@njit(cache=True)
def hash_words(data, ends, letters, hashes, counts):
    """Hash the words of texts that follow one another in `data` [bytes]; text t ends before `ends[t]`.

    `letters` [256] has for each byte what stands for it in a word, 0 if it is in none. A word's hash is FNV-1a over its bytes, mixed.
    Fills `hashes` [words, at most (bytes + texts + 1) / 2] and `counts` [texts]; returns the number of words.
    """
    found = 0
    position = 0
    for text in range(len(ends)):
        before = found
        value = np.uint64(0xCBF29CE484222325)
        inside = False
        while position < ends[text]:
            letter = letters[data[position]]
            position += 1
            if letter:
                value = (value ^ np.uint64(letter)) * np.uint64(0x100000001B3)
                inside = True
            elif inside:
                hashes[found] = mix64(value)
                found += 1
                value = np.uint64(0xCBF29CE484222325)
                inside = False
        if inside:
            hashes[found] = mix64(value)
            found += 1
        counts[text] = found - before
    return found


@njit(cache=True)
def hash_ngrams(words, counts, n, hashes, sizes):
    """Hash the n-grams of each text's words: a polynomial in the words' hashes, mixed. A text of 1 to n - 1 words is one shingle.

    Fills `hashes` [n-grams, at most words] and `sizes` [texts]; returns the number of n-grams.
    """
    base = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying by it loses nothing
    found = 0
    start = 0
    for text in range(len(counts)):
        length = min(n, counts[text])
        size = counts[text] - length + 1 if length else 0
        for first in range(start, start + size):
            value = np.uint64(0)
            for k in range(length):
                value = value * base + words[first + k]
            hashes[found] = mix64(value)
            found += 1
        sizes[text] = size
        start += counts[text]
    return found


@njit(cache=True)
def hash_skip_bigrams(words, counts, reach, hashes, sizes):
    """Hash the ordered pairs of words of each text that are at most `reach` words apart.

    Fills `hashes` [pairs, at most reach * words] and `sizes` [texts]; returns the number of pairs.
    """
    base = np.uint64(0x9E3779B97F4A7C15)
    found = 0
    start = 0
    for text in range(len(counts)):
        before = found
        stop = start + counts[text]
        for first in range(start, stop):
            for second in range(first + 1, min(first + reach + 1, stop)):
                hashes[found] = mix64(words[first] * base + words[second])
                found += 1
        sizes[text] = found - before
        start = stop
    return found


@njit(cache=True)
def min_permuted(hashes, sizes, a, b, rows):
    """The signature of each text with a shingle: for each permutation k the least of a[k] * h + b[k] over its mixed 32-bit shingle hashes h.

    `hashes` uint64 [shingles] of which the upper half counts, `sizes` [texts] without zeros, `rows` uint32 [texts, permutations] to fill.
    """
    count = len(a)
    start = 0
    for text in range(len(sizes)):
        row = rows[text]
        for k in range(count):
            row[k] = np.uint32(0xFFFFFFFF)
        stop = start + sizes[text]
        # Four shingles at a time: a row's values are read and written a quarter as often.
        whole = start + sizes[text] // 4 * 4
        for i in range(start, whole, 4):
            w = mix32(np.uint32(hashes[i] >> np.uint64(32)))
            x = mix32(np.uint32(hashes[i + 1] >> np.uint64(32)))
            y = mix32(np.uint32(hashes[i + 2] >> np.uint64(32)))
            z = mix32(np.uint32(hashes[i + 3] >> np.uint64(32)))
            for k in range(count):
                least = min(np.uint32(a[k] * w + b[k]), np.uint32(a[k] * x + b[k]))
                other = min(np.uint32(a[k] * y + b[k]), np.uint32(a[k] * z + b[k]))
                row[k] = min(row[k], min(least, other))
        for i in range(whole, stop):
            w = mix32(np.uint32(hashes[i] >> np.uint64(32)))
            for k in range(count):
                row[k] = min(row[k], np.uint32(a[k] * w + b[k]))
        start = stop


@njit(cache=True)
def sketch_rows(rows, sketches):
    """Fill `sketches` uint8 [texts, permutations] with a byte of each value of the signatures `rows` uint32 [texts, permutations]."""
    for text in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            sketches[text, k] = np.uint8(mix32(rows[text, k]) >> np.uint32(24))


@njit(cache=True)
def count_equal(sketches, left, right, equal):
    """Fill `equal` [pairs] with the number of places in which the rows left[i] and right[i] of `sketches` [rows, permutations] agree."""
    for pair in range(len(left)):
        one = sketches[left[pair]]
        other = sketches[right[pair]]
        same = np.uint32(0)
        for k in range(sketches.shape[1]):
            same += np.uint32(one[k] == other[k])
        equal[pair] = same


@njit(cache=True)
def jaccard(values, starts, sizes, left, right, similarity):
    """Fill `similarity` [pairs] with the Jaccard similarity of sets left[i] and right[i]; set s is sizes[s] sorted values from starts[s] on."""
    for pair in range(len(left)):
        i, j = starts[left[pair]], starts[right[pair]]
        i_end, j_end = i + sizes[left[pair]], j + sizes[right[pair]]
        total = (i_end - i) + (j_end - j)
        shared = 0
        while i < i_end and j < j_end:
            if values[i] == values[j]:
                shared += 1
                i += 1
                j += 1
            elif values[i] < values[j]:
                i += 1
            else:
                j += 1
        similarity[pair] = shared / max(total - shared, 1)


@njit(cache=True)
def place_hashes(known, shift, slots):
    """Fill the open-addressing table `slots` int32 [2^(64 - shift), more than hashes], all -1, with the places of the distinct hashes `known`."""
    for place in range(len(known)):
        slot = np.int64(known[place] >> shift)
        while slots[slot] >= 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = place


@njit(cache=True)
def best_fragments(hashes, sizes, known, shift, slots, starts, owners, own, needed, best, shared):
    """For each text the fragment of which it has the largest share of n-grams, if these are as many as are `needed`; of equal ones the first.

    A text's n-grams are sizes[text] of `hashes`, each counted once. `known`, `shift` and `slots` are those of `place_hashes`; the fragments with
    n-gram `place` are owners[starts[place] : starts[place + 1]], and a fragment has own[fragment] n-grams.
    Fills `best` [texts] with fragments, -1 for none, and `shared` [texts] with the number of their n-grams in the text.
    """
    seen = np.full(len(known), -1, np.int32)  # the last text that had an n-gram
    counts = np.zeros(len(own), np.int32)
    touched = np.empty(len(own), np.int32)
    start = 0
    for text in range(len(sizes)):
        best[text] = -1
        shared[text] = 0
        number = 0
        for i in range(start, start + sizes[text]):
            slot = np.int64(hashes[i] >> shift)
            while slots[slot] >= 0 and known[slots[slot]] != hashes[i]:
                slot = (slot + 1) & (len(slots) - 1)
            place = slots[slot]
            if place < 0 or seen[place] == text:
                continue
            seen[place] = text
            for owner in range(starts[place], starts[place + 1]):
                fragment = owners[owner]
                if counts[fragment] == 0:
                    touched[number] = fragment
                    number += 1
                counts[fragment] += 1
        for i in range(number):
            fragment = touched[i]
            found = counts[fragment]
            counts[fragment] = 0
            if found >= needed[fragment]:
                one = best[text]
                ahead = found * own[one] - shared[text] * own[fragment] if one >= 0 else 1
                if ahead > 0 or (ahead == 0 and fragment < one):
                    best[text] = fragment
                    shared[text] = found
        start += sizes[text]


@njit(cache=True)
def sort_distinct(hashes, sizes):
    """Sort each text's hashes in place and move the distinct ones of all texts together; `sizes` become their numbers. Returns their total."""
    start = 0
    found = 0
    for text in range(len(sizes)):
        own = np.sort(hashes[start : start + sizes[text]])
        before = found
        for i in range(len(own)):
            if i == 0 or own[i] != own[i - 1]:
                hashes[found] = own[i]
                found += 1
        start += sizes[text]
        sizes[text] = found - before
    return found
