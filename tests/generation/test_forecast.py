"""The forecast of a run from a sample: it scales what the sample took, and shares prefixes as the run's jobs will."""

import pyarrow as pa
import pytest
import yaml

from selfalign.cli import main
from selfalign.data.config import defaults
from selfalign.data.files import to_table, write_shard
from selfalign.data.ids import content_id
from selfalign.generation import forecast as module
from selfalign.generation.engines.cached import CachedEngine
from selfalign.generation.fewshot import Example, FewShot, Judged

STEPS = ("judge", "concepts", "instructions", "responses")
FEWSHOT = FewShot(
    {step: f"Do {step}." for step in STEPS},
    tuple(Example(f"def f{n}(): pass", "c", "Python", ("loop",), "easy", f"Write f{n}.", "", f"[Tests]\n{n}") for n in range(3)),
    tuple(Judged(f"def f{n}(): pass", "Yes" if n % 2 else "No") for n in range(3)),
)
PART = {"examples": 2, "prefixes": 8, "draws": 1, "temperature": 0.0, "max_new_tokens": 4}


def functions(count: int) -> pa.Table:
    rows = []
    for at in range(count):
        content = f'def add{at}(a, b):\n    """Add."""\n    return a + b'
        place = {"repository": "", "path": "a.py", "line": at, "licence": "MIT", "source": "s"}
        rows.append({"id": content_id(content), "content": content, "sha1": "", **place})
    return to_table([{**row, "imports": []} for row in rows], "functions")


@pytest.fixture
def cfg() -> dict:
    rest = {"judge_threshold": -1e9, "shards": 4, "seed": 1, "model": {"path": "", "revision": "", "chat": False}}
    rest |= {"prices": {"gpu_hour": 1.0, "prompt_tokens": 10.0, "output_tokens": 1000.0}}
    return {**dict.fromkeys(STEPS, PART), **rest}


def test_the_sample_is_scaled_to_the_run(cfg, engine, monkeypatch):
    monkeypatch.setattr(module, "STEPS", {"judge": module.STEPS["judge"]})
    small, _ = module.forecast(cfg, functions(12), 12, FEWSHOT, CachedEngine(engine, None))
    large, _ = module.forecast(cfg, functions(12), 120_000, FEWSHOT, CachedEngine(engine, None))
    assert (large[0].rows_in, large[0].requests, large[0].kept) == (120_000, 120_000, 120_000)
    assert large[0].prompt_tokens == pytest.approx(10_000 * small[0].prompt_tokens, rel=0.1)
    assert large[0].cost == pytest.approx((10 * large[0].prompt_tokens + 1000 * large[0].output_tokens) / 1e6)
    # 12 rows on 8 draws share little; a job of 30,000 rows on 8 draws shares all but a row's own part.
    assert large[0].computed_tokens < 0.75 * 10_000 * small[0].computed_tokens


def test_a_step_that_keeps_nothing_ends_the_forecast(cfg, engine):
    with pytest.raises(module.InputError, match="judge: none of 3 completions of the sample can be used"):
        module.forecast({**cfg, "judge_threshold": 1e9}, functions(3), 3, FEWSHOT, CachedEngine(engine, None))


def test_the_command_reads_the_runs_functions(tmp_path, model_folder, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = [{"snippet": f"def f{n}(): pass", "verdict": "Yes"} for n in range(2)]
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({"system": dict.fromkeys(STEPS, "Do."), "examples": [], "judge": examples}))
    config = {"model": {"path": str(model_folder)}, "fewshot": "few.yaml", "engine": {**defaults("engine"), "batch_size": 4}, "shards": 2}
    config |= {"evaluation": {"benchmarks": []}, "judge": {"examples": 2, "max_new_tokens": 4}, "judge_threshold": 1e9}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    assert main(["forecast", "--configfile", "run.yaml"]) == 1
    assert "no functions yet; make them first" in capsys.readouterr().err
    write_shard(functions(20), tmp_path / "results" / "functions" / "0.parquet", "functions")
    assert main(["forecast", "--configfile", "run.yaml", "--rows", "5"]) == 1
    output = capsys.readouterr()
    assert "5 of 40 functions (expected from 1 of 2 shards)" in output.out
    assert "none of 5 completions" in output.err
