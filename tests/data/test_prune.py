"""What the caches hold, and what is deleted first."""

import fcntl
import os
import time

import pytest

from selfalign.cli import main
from selfalign.data.cache import RowCache, index_of
from selfalign.data.prune import parts, prune

DAY = 86_400


def segment(folder, kind, name, days_unused, rows=50):
    """A segment of a cache that was last of use so long ago."""
    cache = RowCache(folder / kind / name)
    known = set(cache.folder.glob("*.segment"))
    for number in range(rows):
        cache.put(number.to_bytes(32, "big"), {"text": os.urandom(100).hex()})
    cache.close()
    (path,) = set(cache.folder.glob("*.segment")) - known
    moment = time.time() - days_unused * DAY
    os.utime(path, (moment, moment - DAY))
    return path


def training(folder, name, days_unused):
    work = folder / "training" / name
    (work / "model").mkdir(parents=True)
    for path in (work / "model" / "model.safetensors", work / "facts.json", work / "lock"):
        path.write_bytes(bytes(1000 if path.name == "model.safetensors" else 0))
        os.utime(path, (time.time() - days_unused * DAY,) * 2)
    return work


@pytest.fixture
def cache(tmp_path):
    return {
        "old": segment(tmp_path, "completions", "aa", 30),
        "newer": segment(tmp_path, "verdicts", "bb", 3),
        "today": segment(tmp_path, "completions", "aa", 0.2),
        "model": training(tmp_path, "cc", 10),
    }


def left(cache):
    return {name for name, path in cache.items() if path.exists()}


def test_the_longest_unused_goes_first_until_the_rest_fits(cache, tmp_path):
    total = sum(part.size for part in parts(tmp_path))
    assert prune(tmp_path, max_bytes=total) == []
    assert [part.path for part in prune(tmp_path, max_bytes=total - 1)] == [cache["old"]]
    assert not index_of(cache["old"]).exists()
    prune(tmp_path, max_bytes=sum(part.size for part in parts(tmp_path)) - 1)
    assert left(cache) == {"newer", "today"}
    prune(tmp_path, max_bytes=0)
    assert left(cache) == set()


def test_by_age_and_kind(cache, tmp_path):
    prune(tmp_path, unused_since=time.time() - 5 * DAY, kinds=("training",))
    assert left(cache) == {"old", "newer", "today"}
    prune(tmp_path, unused_since=time.time() - 5 * DAY)
    assert left(cache) == {"newer", "today"}


def test_what_is_used_becomes_new(cache, tmp_path):
    assert RowCache(cache["old"].parent).lookup([(7).to_bytes(32, "big")])
    assert time.time() - cache["old"].stat().st_atime < 60 or time.time() - cache["today"].stat().st_atime < 60
    assert RowCache(cache["newer"].parent).lookup([(7).to_bytes(32, "big")])
    assert [part.path for part in parts(tmp_path)][0] in (cache["model"], cache["old"])
    assert parts(tmp_path)[-1].path in (cache["newer"], cache["old"], cache["today"])
    prune(tmp_path, unused_since=time.time() - 2 * DAY)
    assert "newer" in left(cache)


def test_what_is_at_work_stays(cache, tmp_path):
    fresh = RowCache(tmp_path / "completions" / "aa")
    fresh.put(bytes(32), {"text": "just now"})
    with (cache["model"] / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prune(tmp_path, max_bytes=0)
        assert left(cache) == {"model"}
    fresh.close()
    assert RowCache(tmp_path / "completions" / "aa").lookup([bytes(32)])


def test_what_may_not_be_deleted_stays(cache, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("selfalign.data.prune.shutil.rmtree", refuse)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", refuse)
        assert prune(tmp_path, max_bytes=0) == []
    assert len(prune(tmp_path, max_bytes=0)) == 3, "the rest goes"
    assert left(cache) == {"model"}


def test_the_command_shows_and_prunes(cache, tmp_path, capsys):
    assert main(["cache", "--folder", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "completions  aa                         100" in shown and "training     cc" in shown
    assert left(cache) == set(cache)
    assert main(["cache", "--folder", str(tmp_path), "--unused-days", "5", "--kind", "completions"]) == 0
    assert "deleted 1 files and trainings" in capsys.readouterr().out
    assert left(cache) == {"newer", "today", "model"}
    assert main(["cache", "--folder", str(tmp_path), "--kind", "texts", "--keep-gb", "0"]) == 1
    assert "completions, verdicts, typecheck, training" in capsys.readouterr().err
    assert main(["cache", "--folder", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err
