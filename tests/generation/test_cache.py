"""The request cache: it changes time, never results, whatever is done to it."""

import os
import pickle
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from selfalign.data.errors import EngineError
from selfalign.generation.cache import RequestCache
from selfalign.generation.engines.cached import CachedEngine, request_key


def key(at: int) -> bytes:
    return at.to_bytes(32, "big")


def filled(folder, numbers, **values) -> RequestCache:
    cache = RequestCache(folder, "ab" * 32)
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
    found = RequestCache(tmp_path, "ab" * 32).lookup([key(3), key(7), key(99)])
    assert found == {key(3): {"text": "text 3 \ud800é"}, key(7): {"text": "text 7 \ud800é"}}
    assert RequestCache(tmp_path, "cd" * 32).lookup([key(3)]) == {}


def test_a_job_sees_what_another_one_is_still_writing(tmp_path):
    writer = RequestCache(tmp_path, "ab" * 32)
    writer.put(key(1), {"text": "a"})
    assert RequestCache(tmp_path, "ab" * 32).lookup([key(1)]) == {key(1): {"text": "a"}}


def test_a_segment_cut_anywhere_keeps_its_whole_records(tmp_path):
    filled(tmp_path, range(3))
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    counts = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = RequestCache(tmp_path, "ab" * 32).lookup([key(at) for at in range(3)])
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
        for number, value in RequestCache(tmp_path, "ab" * 32).lookup([key(at) for at in range(3)]).items():
            assert value == {"text": f"text {int.from_bytes(number, 'big')} \ud800é"}


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "completions").write_text("a file")
    with pytest.raises(EngineError, match="change cache_dir"):
        filled(tmp_path, [1])


def contents(completions) -> dict:
    return {c.id: (c.text, c.finish_reason, c.output_tokens, c.prompt_tokens) for c in completions}


def test_with_without_and_from_the_cache_completions_are_the_same(engine, requests, tmp_path):
    plain = contents(CachedEngine(engine, None).complete(requests))
    first = CachedEngine(engine, RequestCache(tmp_path, engine.fingerprint))
    second = CachedEngine(engine, RequestCache(tmp_path, engine.fingerprint))
    assert contents(first.complete(requests)) == plain
    assert contents(second.complete(requests)) == plain
    assert (first.usage.cached["requests"], second.usage.cached["requests"]) == (0, len(requests))
    assert second.usage.cached["output_tokens"] == first.usage.output_tokens == second.usage.output_tokens
    assert second.usage.finish == first.usage.finish


def test_what_determines_a_completion_is_in_its_key(requests):
    request = requests[1]
    others = [
        replace(request, prefix="p"),
        replace(request, prompt="p"),
        replace(request, seed=5),
        replace(request, temperature=0.5),
        replace(request, max_new_tokens=99),
        replace(request, stop=("x",)),
        replace(request, choices=("x", "y")),
    ]
    keys = {request_key(other) for other in [request, *others]}
    assert len(keys) == 8
    assert request_key(replace(request, id="another row")) == request_key(request)


CHILD = """
import os, pickle, signal, sys
from selfalign.generation.engines import open_engine
model, cfg, cache_dir, requests = pickle.loads(bytes.fromhex(sys.argv[1]))
for count, completion in enumerate(open_engine(model, cfg, cache_dir).complete(requests), 1):
    if count == 10:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_job_goes_on_where_it_was(engine, model_folder, engine_cfg, requests, tmp_path):
    model = {"path": str(model_folder), "revision": "", "context": 0}
    work = pickle.dumps((model, engine_cfg, str(tmp_path), requests)).hex()
    child = subprocess.run([sys.executable, "-c", CHILD, work], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    again = CachedEngine(engine, RequestCache(tmp_path, engine.fingerprint))
    done = list(again.complete(requests))
    assert contents(done) == contents(engine.complete(requests))
    assert again.usage.cached["requests"] == 10
