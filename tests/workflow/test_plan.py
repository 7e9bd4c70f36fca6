"""What a user sees before any job starts: plans, and errors in the config."""

import subprocess
import sys
from pathlib import Path

import yaml

from selfalign.data.config import load_config

ROOT = Path(__file__).resolve().parents[2]

# Imported by every Python process of a plan: it cannot reach anything.
_NO_NETWORK = """
import socket

def refuse(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        raise OSError(f"the plan tried to reach {address}")
    return connect(self, address)

connect, socket.socket.connect = socket.socket.connect, refuse
"""


def test_bad_config_is_one_line_and_the_last_word(project):
    project.config["concepts"] = {"exampels": 2}
    project.write_config()
    output = project.snakemake("--dry-run", ok=False)
    assert output.splitlines()[-1].startswith("config: concepts.exampels: unknown key; did you mean concepts.examples?")
    assert "Traceback" not in output and "job" not in output


def test_value_on_the_command_line_changes_one_key(project):
    assert project.plan("--config", "shards=3", "judge={examples: 1}")["judge_seeds"] == 3
    assert "judge.examples: must be a whole number" in project.snakemake("--dry-run", "--config", "judge={examples: few}", ok=False)


def test_default_config_is_used_without_a_configfile(project):
    plan = project.snakemake(command=[sys.executable, "-m", "snakemake", "--dry-run"])
    assert "evaluate_model" in plan and "fetch_benchmark" not in plan


def test_single_target_plans_what_leads_to_it(project):
    plan = project.plan("results/concepts/0.parquet")
    assert plan == {
        "extract_functions": 1,
        "sign_functions": 2,
        "band_functions": 2,
        "link_functions": 1,
        "cluster_functions": 1,
        "filter_functions": 1,
        "draw_prompts": 2,
        "judge_seeds": 1,
        "extract_concepts": 1,
    }


NAMED = {
    "datasets": ({"select_dataset": 1, "write_notice": 1}, "train_model"),
    "model": ({"train_model": 1}, "evaluate_model"),
    "evaluation": ({"evaluate_model": 2, "tabulate_scores": 1}, "render_report"),
    "report": ({"summarize_run": 1, "render_report": 1}, "ablate"),
    "ablation": ({"ablate": 1}, "render_report"),
    "concepts": ({"extract_concepts": 2}, "write_instructions"),
    "push": ({"export_dataset": 8, "push_dataset": 8}, "train_model"),
}


def test_named_targets(project):
    for target, (has, lacks) in NAMED.items():
        plan = project.plan(target)
        assert has.items() <= plan.items(), target
        assert lacks not in plan, target


def test_preset_plans_without_network_and_without_a_key_of_the_default_config(project):
    # Any key of this file would be refused, and the default config's files are gone.
    (project.folder / "config.yaml").write_text("leaked: true\n")
    for path in ("prompts/tiny.yaml", "benchmarks/miniature.jsonl", "models"):
        (project.folder / path).unlink()
    (project.folder / "scripts" / "sitecustomize.py").write_text(_NO_NETWORK)
    output = project.snakemake(command=[sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "presets/starcoder2-15b-instruct.yaml"])
    for jobs in ("write_responses 256", "fetch_benchmark 13", "train_model 1"):
        assert jobs in " ".join(output.split())
    assert "tried to reach" not in output


def test_sitecustomize_of_the_test_above_refuses(project):
    (project.folder / "scripts" / "sitecustomize.py").write_text(_NO_NETWORK)
    code = "import urllib.request as u; u.urlopen('http://192.0.2.1/', timeout=1)"
    done = subprocess.run([sys.executable, "-c", code], env=project.environment(), capture_output=True, text=True)
    assert "tried to reach" in done.stderr


def test_successors_preset_is_the_published_run_but_for_its_own_parts(monkeypatch):
    monkeypatch.chdir(ROOT)
    first, second = (load_config(yaml.safe_load(Path(f"presets/{name}.yaml").read_text())) for name in ("starcoder2-15b-instruct", "selfcodealign"))
    own = {key for key in first if first[key] != second[key]}
    assert own == {"results_dir", "cache_dir", "shards", "sources", "model", "categories", "training", "evaluation"}
    assert {**first["training"], "gradient_checkpointing": False} == second["training"], "7 billion parameters have room"
    kinds = [category.partition("(")[2] for category in second["categories"]]
    assert kinds == ["function implementation)", "class implementation)", "program implementation)"]


def test_preset_has_the_published_parameters(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_config(yaml.safe_load((ROOT / "presets" / "starcoder2-15b-instruct.yaml").read_text()))
    names = ("judge", "concepts", "instructions", "responses")
    steps = {step: (config[step]["examples"], config[step]["draws"], config[step]["temperature"]) for step in names}
    assert steps == {"judge": (7, 1, 0.0), "concepts": (8, 1, 0.7), "instructions": (8, 1, 0.7), "responses": (1, 10, 0.7)}
    assert {config[step]["max_new_tokens"] for step in names[1:]} == {1536}
    training = {"optimizer": "adafactor", "learning_rate": 1e-5, "schedule": "linear", "warmup_ratio": 0.05, "epochs": 4, "batch_size": 64}
    training |= {"max_length": 1280, "dtype": "bfloat16", "loss": "per_example", "dropout": 0.0, "max_grad_norm": 0.0}
    assert training.items() <= config["training"].items()
    assert (config["execution"]["cpu_seconds"], config["execution"]["memory_mb"]) == (4.0, 1024)
    assert config["functions"]["near_dedup"]["threshold"] == 0.5
    assert {"threshold": 0.7, "ngram": 5, "permutations": 250}.items() <= config["selection"]["near_dedup"].items()
    assert (config["seed"], config["model"]["path"]) == (3407, "bigcode/starcoder2-15b")


def test_lint_is_clean(project):
    assert "Congratulations" in project.snakemake("--lint")


def test_hub_settings_reach_the_jobs_and_rerun_nothing(filtered):
    filtered.config["hub"] = {"home": "hub", "offline": True}
    filtered.write_config()
    assert filtered.plan("results/functions/0.parquet", "results/functions/1.parquet") == {}
    filtered.edit(
        "scripts/sign_functions.py",
        "def main(smk):\n",
        "def main(smk):\n    import huggingface_hub.constants as hub; print(hub.HF_HOME, hub.HF_HUB_OFFLINE)\n",
    )
    filtered.snakemake("results/dedup/functions/signatures/0.parquet")
    log = (filtered.folder / "results" / "logs" / "sign_functions" / "0.log").read_text()
    assert f"{filtered.folder}/hub True" in log
