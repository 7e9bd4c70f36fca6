"""The row cache: it changes time, never results, whatever is done to it."""

import os
import random
import time
from pathlib import Path

import pytest

from selfalign.data.cache import RowCache, index_of
from selfalign.data.errors import CacheError


def key(at: int) -> bytes:
    return at.to_bytes(32, "big")


def filled(folder, numbers, **values) -> RowCache:
    cache = RowCache(folder / "kind" / "ab")
    for at in numbers:
        cache.put(key(at), {"text": f"text {at} \ud800é", **values})
    cache.close()
    return cache


def segments(folder) -> list[Path]:
    return sorted(Path(folder).rglob("*.segment"))


def test_values_come_back_from_several_jobs(tmp_path):
    filled(tmp_path, range(5))
    filled(tmp_path, range(5, 9))
    assert len(segments(tmp_path)) == 2
    found = RowCache(tmp_path / "kind" / "ab").lookup([key(3), key(7), key(99)])
    assert found == {key(3): {"text": "text 3 \ud800é"}, key(7): {"text": "text 7 \ud800é"}}
    assert RowCache(tmp_path / "kind" / "cd").lookup([key(3)]) == {}


def test_a_job_sees_what_another_one_is_still_writing(tmp_path):
    writer = RowCache(tmp_path / "kind" / "ab")
    writer.put(key(1), {"text": "a"})
    assert RowCache(tmp_path / "kind" / "ab").lookup([key(1)]) == {key(1): {"text": "a"}}


def test_a_segment_cut_anywhere_keeps_its_whole_records(tmp_path):
    filled(tmp_path, range(3))
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    counts = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = RowCache(tmp_path / "kind" / "ab").lookup([key(at) for at in range(3)])
        assert all(value == {"text": f"text {int.from_bytes(at, 'big')} \ud800é"} for at, value in found.items())
        counts.append(len(found))
    assert counts == sorted(counts)
    assert (counts[0], counts[-2], counts[-1]) == (0, 2, 3)


def test_damage_never_gives_a_wrong_value(tmp_path):
    filled(tmp_path, range(3))
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 + rng.randrange(255))]) + whole[at + 1 :])
        for number, value in RowCache(tmp_path / "kind" / "ab").lookup([key(at) for at in range(3)]).items():
            assert value == {"text": f"text {int.from_bytes(number, 'big')} \ud800é"}


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "kind").write_text("a file")
    with pytest.raises(CacheError, match="change cache_dir"):
        filled(tmp_path, [1])


def damaged(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 + rng.randrange(255))]) + data[at + 1 :]


def test_an_index_that_is_missing_or_damaged_or_of_another_segment_changes_no_value(tmp_path):
    filled(tmp_path, range(20))
    (path,) = segments(tmp_path)
    index = index_of(path)
    whole, cache = index.read_bytes(), RowCache(tmp_path / "kind" / "ab")
    expected = cache.lookup(map(key, range(30)))
    assert len(expected) == 20
    rng = random.Random(0)
    for data in (b"", whole[:50], *(damaged(whole, rng) for _ in range(50))):
        index.write_bytes(data)
        assert cache.lookup(map(key, range(30))) == expected
    index.write_bytes(whole)
    with path.open("ab") as file:
        file.write(b"grown")
    assert cache.lookup(map(key, range(30))) == expected
    index.unlink()
    assert cache.lookup(map(key, range(30))) == expected


def test_a_killed_job_leaves_no_index_and_a_later_one_writes_it(tmp_path):
    writer = RowCache(tmp_path / "kind" / "ab")
    writer.put(key(1), {"text": "a"})
    (path,) = segments(tmp_path)
    assert RowCache(tmp_path / "kind" / "ab").lookup([key(1)]) and not index_of(path).exists(), "it may still grow"
    os.utime(path, (time.time(), time.time() - 7200))
    assert RowCache(tmp_path / "kind" / "ab").lookup([key(1)]) == {key(1): {"text": "a"}}
    assert index_of(path).exists()


def test_with_an_index_only_the_records_asked_for_are_read(tmp_path):
    cache = filled(tmp_path, range(2000), padding=os.urandom(500).hex())
    (path,) = segments(tmp_path)
    os.truncate(path, path.stat().st_size)  # the same size: the index still is this segment's
    data = bytearray(path.read_bytes())
    # Everything but the header and the first record is lost; reading through would end after it, too.
    first = 26 + 40 + int.from_bytes(data[26:30], "big")
    data[first + 40 : -1000] = bytes(len(data) - first - 1040)
    path.write_bytes(bytes(data))
    assert set(cache.lookup([key(0), key(1999)])) == {key(0), key(1999)}


def test_full_disk_while_writing_is_one_clear_line_and_what_was_written_stays(tmp_path, monkeypatch):
    cache = filled(tmp_path, [1])
    cache.put(key(2), {"text": "b"})
    real = os.write

    def full(file, data):
        if len(data) > 20:
            return real(file, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CacheError, match="No space left on device.*make room"):
        cache.put(key(3), {"text": "c" * 1000})
    monkeypatch.undo()
    cache.close()
    found = RowCache(tmp_path / "kind" / "ab").lookup(map(key, range(5)))
    assert set(found) == {key(1), key(2)}
