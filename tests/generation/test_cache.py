"""The row cache in front of an engine: it changes time, never results."""

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace

from selfalign.data.cache import RowCache
from selfalign.generation.engines.cached import CachedEngine, request_key


def contents(completions) -> dict:
    return {c.id: (c.text, c.finish_reason, c.output_tokens, c.prompt_tokens) for c in completions}


def test_with_without_and_from_the_cache_completions_are_the_same(engine, requests, tmp_path):
    plain = contents(CachedEngine(engine, None).complete(requests))
    first = CachedEngine(engine, RowCache(tmp_path / engine.fingerprint))
    second = CachedEngine(engine, RowCache(tmp_path / engine.fingerprint))
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
    again = CachedEngine(engine, RowCache(tmp_path / "completions" / engine.fingerprint[:16]))
    done = list(again.complete(requests))
    assert contents(done) == contents(engine.complete(requests))
    assert again.usage.cached["requests"] == 10
