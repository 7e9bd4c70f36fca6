"""The vllm engine gives the answers of the transformers engine, and takes every row through all four steps."""

import inspect
import json
import os
import shlex
import statistics
import textwrap
from importlib.util import find_spec

import pyarrow as pa
import pytest

from selfalign.data.config import load_config
from selfalign.data.errors import EngineError
from selfalign.data.files import to_table
from selfalign.data.ids import content_id, row_id
from selfalign.generation.concepts import extract_concepts
from selfalign.generation.draws import count_usage, draw_prompts
from selfalign.generation.engines import Request, open_engine
from selfalign.generation.fewshot import load_fewshot
from selfalign.generation.instructions import write_instructions
from selfalign.generation.judge import ask_for_verdicts, judge_seeds
from selfalign.generation.responses import write_responses

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None and "SELFALIGN_NEEDS_VLLM" not in os.environ, reason="vLLM is not installed; .ci/vllm runs this"
)
# GB of cache; threads where the system puts them, since another process may hold a core.
VLLM_ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
STEPS = {"judge": judge_seeds, "concepts": extract_concepts, "instructions": write_instructions, "responses": write_responses}
DRAWS = {"judge": 1, "concepts": 2, "instructions": 1, "responses": 2}
PART = {"examples": 2, "prefixes": 2, "max_new_tokens": 60}


@pytest.fixture(scope="module")
def cfg() -> dict:
    steps = {step: {**PART, "draws": draws} for step, draws in DRAWS.items()}
    steps["responses"] |= {"examples": 1, "max_new_tokens": 240}
    raw = {"sources": [{"name": "s", "kind": "stdlib", "licence": "PSF-2.0"}], "model": {"path": "models/tiny"}, "fewshot": "prompts/tiny.yaml"}
    return load_config({**raw, "engine": {"kind": "vllm", "dtype": "float32", "batch_size": 8}, "judge_threshold": -2.0, **steps})


@pytest.fixture(scope="module")
def vllm(cfg):
    """One engine for all tests: it takes half a minute to load."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in VLLM_ON_CPU.items():
            patch.setenv(name, value)
        engine = open_engine(cfg["model"], cfg["engine"], None)
        list(engine.complete([Request("load", "", "def", 0, 0.0, 1, ())]))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def transformers(opened, cfg):
    return opened(cfg["model"]["path"])


def test_vllm_answers_as_transformers_does(vllm, transformers, cfg):
    prefix, stop = "### Example 1\n[Code]\ndef add(a, b):\n", ("\n### Example",)
    requests = [Request(f"{at}", prefix, f"def f{at}():\n", at, 0.9 * (at % 2), 20, stop) for at in range(12)]
    judged = (("Y", "N"), ("Yes", "No"), ("Yes, list", "Yes", "No"))  # of one token each, of several, one the beginning of another
    requests += [Request(f"judge {at}", prefix, f"{at}\n[Verdict]\n", at, 0.0, 4, stop, judged[at % 3]) for at in range(6)]
    requests.append(Request("long", "", "x = 1\n" * transformers.context, 0, 0.0, 20, stop))
    done = {c.id: c for c in vllm.complete(requests)}
    other = {c.id: c for c in transformers.complete(requests)}
    assert set(done) == set(other)
    assert done["long"].finish_reason == "prompt_too_long"
    for request in requests:
        ours, theirs = other[request.id], done[request.id]
        assert theirs.prompt_tokens == ours.prompt_tokens
        if request.choices:
            assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-3)
            assert theirs.text == ours.text
        elif request.temperature == 0:
            assert theirs.finish_reason == ours.finish_reason
            assert theirs.text == ours.text.rstrip("\ufffd")  # vLLM leaves out half a character at the end
    # A call that is left early does not disturb the next one, and seeds give the same samples again.
    next(vllm.complete(requests))
    again = {c.id: c.text for c in vllm.complete(requests[:6])}
    assert again == {row: done[row].text for row in again}
    with pytest.raises(EngineError, match="engine.dtype"):
        open_engine(cfg["model"], {**cfg["engine"], "dtype": "float64"}, None)


def test_seeded_rows_with_long_prompts_fill_a_batch(vllm, transformers):
    """More tokens at once than vLLM takes in one pass: a prompt that comes in two pieces must not cost the engine."""
    requests = [Request(f"{at}", "", f"# {at}\n" + "x = 1\n" * (transformers.context // 7), at, 0.9, 8, ()) for at in range(16)]
    done = {c.id: c for c in vllm.complete(requests)}
    assert set(done) == {request.id for request in requests}
    assert min(c.prompt_tokens for c in done.values()) > transformers.context // 2
    assert {c.finish_reason for c in done.values()} <= {"length", "stop"}


def functions() -> pa.Table:
    rest = {"sha1": "", "path": "a.py", "repository": "", "line": 1, "licence": "PSF-2.0", "source": "s", "imports": []}
    sources = [inspect.getsource(value) for module in (textwrap, statistics, shlex) for value in vars(module).values() if inspect.isfunction(value)]
    short = sorted({source for source in sources if '"""' in source and len(source) < 700})[:12]
    return to_table([{"id": content_id(source), "content": source, **rest} for source in short], "functions")


def test_all_steps_keep_or_drop_every_row_and_account_for_it(vllm, transformers, cfg):
    rows, fewshot = functions(), load_fewshot(cfg["fewshot"])
    for step, work in STEPS.items():
        prompts = json.loads(json.dumps(draw_prompts(fewshot, step, cfg[step], cfg["seed"])))
        before = _counts(vllm)
        vllm.prefixes.clear()
        kept, dropped = work(rows, prompts, vllm, cfg)
        rule = work.__name__
        wanted = {row_id(rule, parent, draw) for parent in rows["id"].to_pylist() for draw in range(DRAWS[step])}
        wanted = set(rows["id"].to_pylist()) if step == "judge" else wanted
        assert sorted([*kept["id"].to_pylist(), *dropped["id"].to_pylist()]) == sorted(wanted)
        assert "engine_failed" not in dropped["reason"].to_pylist()
        requests, prompt_tokens, computed = (now - then for now, then in zip(_counts(vllm), before, strict=True))
        assert requests == len(wanted) == sum(count_usage(prompts, vllm.prefixes)["orders"].values())
        assert 0 < computed < prompt_tokens, "the prefix cache answers a part"
        if step == "judge":
            asked = [row.request for row in ask_for_verdicts(rows.to_pylist(), prompts, cfg)]
            scores = {c.id: c.logprobs[0] - c.logprobs[1] for c in transformers.complete(asked) if c.logprobs}
            assert {row["id"]: row["score"] for row in kept.to_pylist()} == pytest.approx(
                {row: scores[row] for row in kept["id"].to_pylist()}, abs=0.01
            )
        assert kept.num_rows, f"{step}: nothing for the next step"
        rows = kept


def _counts(engine) -> tuple[int, int, int]:
    return engine.usage.requests, engine.usage.prompt_tokens, engine.usage.computed_tokens
