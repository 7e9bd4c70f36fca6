import copy
from pathlib import Path

import jsonschema
import pytest
import yaml

from selfalign.data.config import SCHEMA, is_local_model, load_config, pick
from selfalign.data.errors import ConfigError

HUB_CONFIG = {"model": {"path": "someone/some-model"}, "fewshot": "few.yaml", "evaluation": {"benchmarks": []}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder in which the few-shot file exists."""
    monkeypatch.chdir(tmp_path)
    Path("few.yaml").write_text("")
    return tmp_path


def config(**changes):
    return {**copy.deepcopy(HUB_CONFIG), **changes}


def message(raw):
    with pytest.raises(ConfigError) as caught:
        load_config(raw)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_schema_is_a_valid_schema_and_describes_every_key():
    schema = yaml.safe_load(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    def check(node, path):
        for name, part in node.get("properties", {}).items():
            assert part.get("description") or "$ref" in part, f"{path}.{name} has no description"
            check(part, f"{path}.{name}")
            check(part.get("items", {}), f"{path}.{name}[]")

    check(schema, "")
    for name, part in schema["$defs"].items():
        check(part, name)


def test_defaults_of_the_schema_are_valid_and_complete():
    complete = load_config(config())
    assert load_config(complete) == complete
    assert complete["judge"] == {"examples": 7, "prefixes": 64, "draws": 1, "temperature": 0.0, "max_new_tokens": 4}
    assert complete["sources"][0]["columns"] == {"content": "content", "path": "path", "repository": "repo_name", "licence": "license"}


def test_partial_step_keeps_the_other_defaults_of_that_step():
    complete = load_config(config(judge={"examples": 2}, responses={"draws": 4}))
    assert complete["judge"] == {"examples": 2, "prefixes": 64, "draws": 1, "temperature": 0.0, "max_new_tokens": 4}
    assert complete["responses"] == {"examples": 1, "prefixes": 64, "draws": 4, "temperature": 0.7, "max_new_tokens": 1536}
    assert load_config(config())["responses"]["draws"] == 10, "a config must not change the defaults"


def test_order_of_keys_in_the_file_does_not_matter():
    one = load_config(config(selection={"policy": "consensus", "keep_reasoning": 1}, seed=1))
    other = load_config(dict(reversed(config(seed=1, selection={"keep_reasoning": 1.0, "policy": "consensus"}).items())))
    assert repr(one) == repr(other)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"concepts": {"exampels": 2}}, "concepts.exampels: unknown key; did you mean concepts.examples?"),
        ({"polcy": "random"}, "polcy: unknown key; did you mean selection.policy?"),
        ({"sources": [{"name": "a", "kind": "stdlib"}, {"name": "a", "knd": "stdlib"}]}, "sources[1].kind: missing"),
        ({"sources": [{"name": "a", "kind": "stdlib", "licens": "MIT"}]}, "sources[0].licens: unknown key; did you mean sources[0].licence?"),
        ({"seed": "many"}, 'seed: must be a whole number, not "many"'),
        ({"seed": 1.5}, "seed: must be a whole number, not 1.5"),
        ({"seed": True}, "seed: must be a whole number, not true"),
        ({"shards": 0}, "shards: must be at least 1, not 0"),
        ({"judge": 3}, "judge: must be a mapping, not 3"),
        ({"judge": {"prefixes": "some"}}, 'judge.prefixes: must be a whole number of at least 1 or per-row, not "some"'),
        ({"selection": {"policy": "randm"}}, "selection.policy: must be one of random, consensus (did you mean random?)"),
        ({"model": {}}, "model.path: missing; Folder of the model"),
        ({"fewshot": "none.yaml"}, "fewshot: none.yaml: no such file"),
        ({"model": {"path": "./no/model"}}, "model.path: ./no/model: no such file or folder"),
        ({"decontamination": {"extra": ["x.jsonl"]}}, "decontamination.extra[0]: x.jsonl: no such file"),
        ({"evaluation": {"benchmarks": [{"name": "a", "data": "a.jsonl"}]}}, "evaluation.benchmarks[0].data: a.jsonl: no such file"),
        ({"evaluation": {"benchmarks": [{"name": "a/b", "data": "few.yaml"}]}}, "evaluation.benchmarks[0].name: "),
        ({"evaluation": {"benchmarks": [{"name": "a", "data": "few.yaml"}] * 2}}, "evaluation.benchmarks[1].name: a is there twice"),
        ({"sources": [{"name": "a", "kind": "folder", "path": "code"}]}, "sources[0].path: code: no such file"),
        ({"sources": [{"name": "a", "kind": "packages"}]}, "sources[0].packages: missing"),
        ({"sources": []}, "sources: must not be empty"),
        ({"engine": {"kind": "openai"}}, "engine.url: missing"),
        ({"responses": {"temperature": float("nan")}}, "responses.temperature: must be a finite number"),
    ],
)
def test_bad_config_is_one_line_that_begins_with_the_key(changes, line):
    assert message(config(**changes)).startswith(line)


def test_config_without_a_model_says_so():
    assert message({}).startswith("model: missing")


def test_values_from_the_command_line_are_read_by_the_type_of_their_key():
    complete = load_config(
        config(
            seed="5",
            judge={"examples": "2", "prefixes": "per-row"},
            training={"learning_rate": "1e-3"},
            execution={"negative_control": "false"},
            licences="[MIT, ISC]",
            selection="{keep_reasoning: 1}",
        )
    )
    assert complete["seed"] == 5
    assert (complete["judge"]["examples"], complete["judge"]["prefixes"]) == (2, "per-row")
    assert complete["training"]["learning_rate"] == 0.001
    assert complete["execution"]["negative_control"] is False
    assert complete["licences"] == ["MIT", "ISC"]
    assert complete["selection"]["keep_reasoning"] == 1.0


def test_model_folder_needs_its_parts(folder):
    model = folder / "model"
    model.mkdir()
    assert "no config.json" in message(config(model={"path": "model"}))
    (model / "config.json").write_text("{")
    assert "model/config.json cannot be read as JSON" in message(config(model={"path": "model"}))
    (model / "config.json").write_text("{}")
    assert "model has no tokenizer" in message(config(model={"path": "model"}))
    (model / "tokenizer.json").write_text("{}")
    assert "model has no weights" in message(config(model={"path": "model"}))
    (model / "model.safetensors").touch()
    (model / "other.safetensors").symlink_to("nowhere")
    assert "model has no weights" in message(config(model={"path": "model"}))
    served = config(model={"path": "model"}, engine={"kind": "openai", "url": "http://127.0.0.1:1/v1"})
    assert load_config(served)["model"]["path"] == "model"  # the server has the weights
    (model / "model.safetensors").write_bytes(b"weights")
    assert load_config(config(model={"path": "model"}))["model"]["path"] == "model"


def test_mistyped_folder_is_not_taken_for_a_name_on_the_hub(folder):
    (folder / "models").mkdir()
    assert is_local_model("models/tinny")
    assert not is_local_model("bigcode/starcoder2-15b")


def test_pick_nests_as_the_config_does():
    complete = load_config(config())
    assert pick(complete, "seed", "functions.near_dedup.ngram", "functions.near_dedup.permutations") == {
        "seed": 3407,
        "functions": {"near_dedup": {"ngram": 5, "permutations": 250}},
    }


def test_complete_config_loads_again_as_it_is(folder):
    (folder / "rows.jsonl").write_text("{}")
    for changes in ({}, {"inputs": {"seeds": "rows.jsonl", "licence": "MIT"}, "sources": [{"name": "mine", "kind": "stdlib"}]}):
        complete = load_config(config(**changes))
        assert load_config(complete) == complete
    assert complete["sources"] == [{"name": "rows.jsonl", "kind": "import", "path": "rows.jsonl", "licence": "MIT"}]


def test_run_enters_at_one_dataset_whose_file_is_there(folder):
    (folder / "rows.jsonl").write_text("{}")
    assert "inputs: seeds and concepts are both given" in message(config(inputs={"seeds": "rows.jsonl", "concepts": "rows.jsonl"}))
    assert "inputs.seeds: none.jsonl: no such file" in message(config(inputs={"seeds": "none.jsonl"}))
    assert "inputs.seed: unknown key; did you mean inputs.seeds?" in message(config(inputs={"seed": "rows.jsonl"}))
    assert load_config(config(inputs={"seeds": "hf://datasets/owner/name"}))["inputs"]["seeds"].startswith("hf://")
