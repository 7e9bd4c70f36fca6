"""What is planned again after a change: what reads it and what follows, nothing else."""

import os

import yaml

from selfalign.data.config import load_config

AFTER_DATASET = {"train_model": 1, "evaluate_model": 1, "summarize_run": 1, "render_report": 1}
TARGETS = ("results/functions/0.parquet", "results/functions/1.parquet")


def test_touch_checkout_and_comments_count_for_nothing(filtered):
    for path in filtered.folder.rglob("*.py"):
        os.utime(path)
    for path in ("benchmarks/miniature.jsonl", "prompts/tiny.yaml", "Snakefile", "rules/seeds.smk"):
        os.utime(filtered.folder / path)
    filtered.append("scripts/selfalign/seeds/filters.py", "\n# A comment.\n")
    filtered.edit("scripts/sign_functions.py", '"""', '"""Another docstring: ')
    assert filtered.plan(*TARGETS) == {}


def test_changed_filter_plans_the_filter_only(filtered):
    filtered.append("scripts/selfalign/seeds/filters.py", "\nCHANGED = 1\n")
    assert filtered.plan(*TARGETS) == {"filter_functions": 2}


def test_changed_script_plans_its_rule(filtered):
    filtered.edit("scripts/filter_functions.py", "def main(smk):\n", "def main(smk):\n    print(1)\n")
    assert filtered.plan(*TARGETS) == {"filter_functions": 2}


def test_changed_dedup_plans_no_extraction(filtered):
    filtered.append("scripts/selfalign/dedup/signatures.py", "\nCHANGED = 1\n")
    plan = filtered.plan(*TARGETS)
    assert plan.keys() == {"sign_functions", "band_functions", "link_functions", "cluster_functions", "filter_functions"}


def test_changed_threshold_keeps_the_signatures(filtered):
    filtered.config["functions"] = {"near_dedup": {"threshold": 0.6, "ngram": 5, "permutations": 250}}
    filtered.write_config()
    assert filtered.plan(*TARGETS) == {"band_functions": 2, "link_functions": 1, "cluster_functions": 1, "filter_functions": 2}


def test_another_verification_keeps_the_signatures(filtered):
    filtered.config["functions"] = {"near_dedup": {"verify": "signature"}}
    filtered.write_config()
    assert filtered.plan(*TARGETS) == {"band_functions": 2, "link_functions": 1, "cluster_functions": 1, "filter_functions": 2}


def test_keys_that_other_steps_read_plan_nothing_here(filtered):
    filtered.config |= {"seed": 1, "responses": {"draws": 9}, "training": {"epochs": 7}, "engine": {"threads": 2}}
    filtered.write_config()
    assert filtered.plan(*TARGETS) == {}


def test_reordered_config_plans_nothing(filtered):
    filtered.config = {key: dict(reversed(value.items())) if isinstance(value, dict) else value for key, value in reversed(filtered.config.items())}
    text = "\n".join(f"{key}: {value!r}" for key, value in filtered.config.items())
    (filtered.folder / "small.yaml").write_text(text.replace("'", '"'))
    assert filtered.plan(*TARGETS) == {}


def test_two_swapped_values_count(filtered):
    defaults = load_config(filtered.config)["functions"]
    filtered.config["functions"] = {"forbidden_words": defaults["forbidden_imports"], "forbidden_imports": defaults["forbidden_words"]}
    filtered.write_config()
    assert filtered.plan(*TARGETS) == {"filter_functions": 2}


def test_changed_benchmark_plans_decontamination(filtered):
    with open(filtered.folder / "benchmarks" / "miniature.jsonl") as file:
        lines = file.readlines()
    (filtered.folder / "benchmarks" / "miniature.jsonl").write_text("".join(lines[1:]))
    assert filtered.plan(*TARGETS) == {"filter_functions": 2}


def test_same_rows_again_cost_nothing_after_them(filtered):
    filtered.append("scripts/cluster_functions.py", "\nCHANGED = 1\n")
    assert filtered.plan(*TARGETS) == {"cluster_functions": 1, "filter_functions": 2}, "before it has run, nobody knows"
    filtered.snakemake("results/dedup/functions/clusters/0.parquet")
    assert filtered.plan(*TARGETS) == {}


def test_after_a_full_run_a_change_plans_the_steps_that_see_it(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    assert project.plan() == {}

    path = project.folder / "prompts" / "tiny.yaml"
    text = path.read_text()
    fewshot = yaml.safe_load(text)
    path.write_text("# Another comment.\n" + yaml.safe_dump({key: fewshot[key] for key in reversed(fewshot)}, sort_keys=False))
    assert project.plan() == {}, "a comment, and other keys first"
    fewshot["system"]["responses"] += " Think first."
    path.write_text(yaml.safe_dump(fewshot))
    plan = project.plan()
    assert plan["draw_prompts"] == 1 and plan["write_responses"] == 2 and plan["train_model"] == 1
    assert {"filter_functions", "judge_seeds", "extract_concepts", "write_instructions"}.isdisjoint(plan)
    path.write_text(text)

    def planned_with(**changes):
        before = dict(project.config)
        project.config |= changes
        project.write_config()
        plan = project.plan()
        project.config = before
        project.write_config()
        return plan

    plan = planned_with(responses={**project.config["responses"], "draws": 3})
    assert {"judge_seeds", "extract_concepts", "write_instructions", "filter_functions"}.isdisjoint(plan)
    assert plan["write_responses"] == 2 and plan["train_model"] == 1
    assert planned_with(selection={"keep_reasoning": 0.0}) == {"select_dataset": 1, **AFTER_DATASET}
    assert planned_with(training={**project.config["training"], "learning_rate": 0.002}) == AFTER_DATASET
    assert planned_with(prices={"gpu_hour": 9.0}) == {"summarize_run": 1, "render_report": 1}

    project.append("scripts/selfalign/generation/prompts.py", "\nCHANGED = 1\n")
    plan = project.plan()
    assert plan["judge_seeds"] == 2
    assert {"extract_functions", "sign_functions", "cluster_functions", "filter_functions"}.isdisjoint(plan)
