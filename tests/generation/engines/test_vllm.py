"""The vllm engine: without the package one clear line; with it (an environment of its own) the same answers as transformers."""

import os
from importlib.util import find_spec

import pytest

from selfalign.data.config import defaults
from selfalign.data.errors import EngineError
from selfalign.generation.engines import Request, open_engine

# GB of cache; threads where the system puts them, since another process may hold a core.
VLLM_ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
CFG = {**defaults("engine"), "kind": "vllm", "dtype": "float32", "batch_size": 4}


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
def test_a_missing_package_is_one_clear_line(model_folder):
    with pytest.raises(EngineError, match="install vllm==.*, or set engine.kind to transformers"):
        open_engine({"path": str(model_folder), "revision": "", "context": 0}, CFG, None)


@pytest.mark.skipif(find_spec("vllm") is None and "SELFALIGN_NEEDS_VLLM" not in os.environ, reason="vLLM is not installed; .ci/vllm runs this")
def test_vllm_answers_as_transformers_does(tmp_path, opened, save_model, save_tokenizer, monkeypatch):
    for name, value in VLLM_ON_CPU.items():
        monkeypatch.setenv(name, value)
    save_tokenizer(tmp_path)
    save_model(tmp_path, hidden_size=128)  # vLLM on CPU takes heads of 32 and more
    model = {"path": str(tmp_path), "revision": "", "context": 0}
    with pytest.raises(EngineError, match="engine.dtype"):
        open_engine(model, {**CFG, "dtype": "float64"}, None)
    engine = open_engine(model, CFG, None)
    prefix, stop = "### Example 1\n[Code]\ndef add(a, b):\n", ("\n### Example",)
    requests = [Request(f"{at}", prefix, f"def f{at}():\n", at, 0.9 * (at % 2), 20, stop) for at in range(12)]
    judged = (("Y", "N"), ("Yes", "No"), ("Yes, list", "Yes", "No"))  # of one token each, of several, one the beginning of another
    requests += [Request(f"judge {at}", prefix, f"{at}\n[Verdict]\n", at, 0.0, 4, stop, judged[at % 3]) for at in range(6)]
    requests.append(Request("long", "", "x" * 250, 0, 0.0, 20, stop))
    done = {c.id: c for c in engine.complete(requests)}
    other = {c.id: c for c in opened(tmp_path).complete(requests)}
    assert set(done) == set(other)
    for request in requests:
        ours, theirs = other[request.id], done[request.id]
        assert (theirs.finish_reason, theirs.prompt_tokens) == (ours.finish_reason, ours.prompt_tokens)
        if request.choices:
            assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-3)
            assert theirs.text == ours.text
        elif request.temperature == 0:
            assert theirs.text == ours.text.rstrip("\ufffd")  # vLLM leaves out half a character at the end
    # A call that is left early does not disturb the next one, and seeds give the same samples again.
    next(engine.complete(requests))
    again = {c.id: c.text for c in engine.complete(requests[:6])}
    assert again == {row: done[row].text for row in again}
    engine.close()
