"""The config: checked against schemas/config.schema.yaml, which alone holds the defaults, and completed from it."""

import copy
import difflib
import json
import math
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema
import yaml

from selfalign.data.errors import ConfigError
from selfalign.data.tables import ANCESTORS

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.yaml"
IMPORTED = "import"  # the kind of the one source of a run with `inputs`
HUB = "hf://"  # begins the address of a file on the Hugging Face hub
ADDRESSES = (HUB, "https://")  # what is not a path here

_TYPES = {"object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")


def load_config(raw: dict[str, Any]) -> dict[str, Any]:
    """The complete config: every key of the schema, in the schema's order, with numbers of the schema's type.

    Numbers, truth values and lists that come as text (`--config 'judge={examples: 2}'`) are read as such. ConfigError, one
    line that begins with the key's full path, for an unknown key, a wrong value or a file that is not there.
    """
    schema = load_schema()
    raw = _read_texts(raw, schema)
    if isinstance(inputs := raw.get("inputs"), dict) and any(inputs.get(name) for name in ANCESTORS):
        raw.pop("sources", None)  # not read then; in a complete config of such a run it is what this function put there
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(raw), key=lambda error: (list(map(str, error.absolute_path)), error.message))
    if errors:
        raise ConfigError(_explain(errors[0]))
    config = _complete(raw, schema)
    if (entry := entry_of(config)) is not None:
        # What the run then begins with, in the one place where notices, cards and reports look for it.
        address, licence = config["inputs"][entry], config["inputs"]["licence"]
        config["sources"] = [{"name": source_name(address), "kind": IMPORTED, "path": address, "licence": licence}]
    _check_files(config)
    return config


def source_name(address: str) -> str:
    """What rows from elsewhere are said to come from: an address on the hub, or the name of the file or folder here."""
    return address if address.startswith(HUB) else Path(address).resolve().name


def entry_of(config: dict[str, Any]) -> str | None:
    """The dataset at which a run enters with rows from elsewhere, None if it begins at its sources. ConfigError for several."""
    given = [name for name in ANCESTORS if config.get("inputs", {}).get(name)]
    if len(given) > 1:
        raise ConfigError(f"inputs: {' and '.join(given)} are both given; a run enters at one dataset (ancestors come with its rows)")
    return given[0] if given else None


def pick(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The part of a config with these keys ("seed", "functions.near_dedup.ngram"), nested as the config is."""
    part: dict[str, Any] = {}
    for key in keys:
        *parents, last = key.split(".")
        source, target = config, part
        for parent in parents:
            source, target = source[parent], target.setdefault(parent, {})
        target[last] = source[last]
    return part


class Compared(dict):
    """A part of the config whose `repr`, which is what Snakemake compares, leaves out the keys that rebuild nothing."""

    def __repr__(self) -> str:
        return repr(_without_speed(dict(self), load_schema()))


def _without_speed(part: Any, schema: dict[str, Any]) -> Any:
    if isinstance(part, dict) and "properties" in schema:
        properties = schema["properties"]
        return {name: _without_speed(value, properties[name]) for name, value in part.items() if properties[name].get("rebuilds", True)}
    return part


def defaults(key: str) -> dict[str, Any]:
    """The part `key` of a config that says nothing about it, for commands that work without a config file."""
    return _complete({}, load_schema()["properties"][key])


def hub_environment(hub: dict[str, Any]) -> dict[str, str]:
    """Environment variables that make the Hugging Face libraries do what the config's `hub` says. Set them before the libraries are imported."""
    home = {"HF_HOME": os.path.abspath(hub["home"])} if hub["home"] else {}
    return home | ({"HF_HUB_OFFLINE": "1"} if hub["offline"] else {})


def is_local_model(path: str) -> bool:
    """Whether `model.path` is a folder here. A name on the hub has at most one slash and no folder before it."""
    if Path(path).exists() or not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", path):
        return True
    return "/" in path and Path(path).parent.is_dir()


@cache
def load_schema() -> dict[str, Any]:
    """The schema with every $ref replaced by what it points to."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    definitions = schema.pop("$defs")

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            node = {**definitions[node["$ref"].rsplit("/", 1)[1]], **{key: value for key, value in node.items() if key != "$ref"}}
        return {key: value if key == "default" else resolve(value) for key, value in node.items()}

    return resolve(schema)


def _read_texts(value: Any, schema: dict[str, Any]) -> Any:
    """`value` with texts read as what the schema wants there; what cannot be read stays, for the validator to refuse."""
    kind = schema.get("type")
    if isinstance(value, str) and (kind in ("object", "array", "integer", "number", "boolean") or "oneOf" in schema):
        value = _parse(value, kind)
    if isinstance(value, dict):
        return {key: _read_texts(item, schema.get("properties", {}).get(key, {})) for key, item in value.items()}
    if isinstance(value, list):
        return [_read_texts(item, schema.get("items", {})) for item in value]
    return value


def _parse(text: str, kind: str | None) -> Any:
    if kind in ("integer", "number", None):
        for number in (int, float) if kind == "number" else (int,):
            try:  # YAML reads 1e-5, without a point, as a text
                return number(text)
            except ValueError:
                continue
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _complete(value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, dict) and "properties" in schema:
        given = {**copy.deepcopy(schema.get("default", {})), **value}
        properties = schema["properties"]
        return {
            name: _complete(given[name] if name in given else copy.deepcopy(part["default"]), part)
            for name, part in properties.items()
            if name in given or "default" in part
        }
    if isinstance(value, list):
        return [_complete(item, schema.get("items", {})) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if schema.get("type") == "integer":
            return int(value)  # 2.0 is a whole number to the validator
        if schema.get("type") == "number":
            return float(value)
    return value


def _name(path: Iterator[Any] | list[Any]) -> str:
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name


def _explain(error: jsonschema.ValidationError) -> str:
    """One line about a validation error, beginning with the key's full path."""
    path = list(error.absolute_path)
    where = _name(path) or "config"
    schema, instance, limits = cast(tuple[dict[str, Any], Any, Any], (error.schema, error.instance, error.validator_value))
    if error.validator == "additionalProperties":
        unknown = sorted(str(key) for key in instance if key not in schema["properties"])[0]
        return f"{_name([*path, unknown])}: unknown key{_suggest(path, unknown, list(schema['properties']))}"
    if error.validator == "required":
        missing = next(key for key in limits if key not in instance)
        return f"{_name([*path, missing])}: missing; {schema['properties'][missing].get('description', 'it has no default')}"
    value = json.dumps(instance, ensure_ascii=False, default=str)
    value = value if len(value) <= 60 else value[:57] + "..."
    wanted = {
        "type": lambda limit: f"must be {_TYPES[limit]}",
        "enum": lambda limit: f"must be one of {', '.join(map(str, limit))}{_closest(str(instance), list(map(str, limit)))}",
        "minimum": lambda limit: f"must be at least {limit}",
        "exclusiveMinimum": lambda limit: f"must be above {limit}",
        "maximum": lambda limit: f"must be at most {limit}",
        "minItems": lambda limit: "must not be empty",
        "minLength": lambda limit: "must not be empty",
        "oneOf": lambda limit: "must be " + " or ".join(_one_of(option) for option in limit),
    }.get(str(error.validator), lambda limit: " ".join(error.message.split()))(limits)
    return f"{where}: {wanted}, not {value}"


def _one_of(option: dict[str, Any]) -> str:
    if "const" in option:
        return str(option["const"])
    return _TYPES[option["type"]] + (f" of at least {option['minimum']}" if "minimum" in option else "")


def _closest(word: str, words: list[str]) -> str:
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def _suggest(path: list[Any], unknown: str, siblings: list[str]) -> str:
    """The nearest known key: among the neighbours, else anywhere in the schema by its last name."""
    if found := difflib.get_close_matches(unknown, siblings, n=1, cutoff=0.6):
        return f"; did you mean {_name([*path, found[0]])}?"
    everywhere = dict(_keys(load_schema(), []))
    if found := difflib.get_close_matches(unknown, list(everywhere), n=1, cutoff=0.6):
        return f"; did you mean {everywhere[found[0]]}?"
    return f"; the keys here are {', '.join(siblings)}"


def _keys(schema: dict[str, Any], path: list[Any]) -> Iterator[tuple[str, str]]:
    for name, part in schema.get("properties", {}).items():
        yield name, _name([*path, name])
        yield from _keys(part, [*path, name])
        yield from _keys(part.get("items", {}), [*path, name, 0])


def _check_files(config: dict[str, Any]) -> None:
    """ConfigError for what the schema cannot see: files that are not there, and keys that need one another."""

    def exists(key: str, path: str, hint: str = "") -> None:
        if not path.startswith(ADDRESSES) and not Path(path).exists():
            raise ConfigError(f"{key}: {path}: no such file{hint} (looked for in {os.getcwd()})")

    for key, value in _numbers(config, []):
        if not math.isfinite(value):
            raise ConfigError(f"{key}: must be a finite number, not {value}")
    if is_local_model(path := config["model"]["path"]):
        exists("model.path", path, " or folder, and not a name on the Hugging Face hub either")
        _check_model(Path(path), weights=config["engine"]["kind"] != "openai")
    exists("fewshot", config["fewshot"])
    if (entry := entry_of(config)) is not None:
        exists(f"inputs.{entry}", config["inputs"][entry])
    for i, source in enumerate(config["sources"]):
        if source["kind"] in ("folder", "parquet", "jsonl", "huggingface") and not source["path"]:
            raise ConfigError(f"sources[{i}].path: missing; kind {source['kind']} needs it")
        if source["kind"] in ("folder", "parquet", "jsonl"):
            exists(f"sources[{i}].path", source["path"])
        if source["kind"] == "packages" and not source["packages"]:
            raise ConfigError(f"sources[{i}].packages: missing; kind packages needs the names of installed packages")
    names = [benchmark["name"] for benchmark in config["evaluation"]["benchmarks"]]
    for i, benchmark in enumerate(config["evaluation"]["benchmarks"]):
        exists(f"evaluation.benchmarks[{i}].data", benchmark["data"])
        if names.index(benchmark["name"]) != i:
            raise ConfigError(f"evaluation.benchmarks[{i}].name: {benchmark['name']} is there twice; results are named after it")
    for i, path in enumerate(config["decontamination"]["extra"]):
        exists(f"decontamination.extra[{i}]", path)
    if config["engine"]["kind"] == "openai" and not (config["engine"]["url"] or config["engine"]["server"]):
        raise ConfigError("engine.url: missing; kind openai needs the server's address, up to and including /v1, or engine.server, which starts one")
    if config["engine"]["url"] and config["engine"]["server"]:
        raise ConfigError("engine.url: not beside engine.server, which starts a server of its own; leave out one of the two")


def _check_model(folder: Path, weights: bool) -> None:
    """ConfigError for a folder that no job could load; a server may have its weights elsewhere."""
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model.path: {folder} is not a model: it has no config.json")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.path: {folder}/config.json cannot be read as JSON ({error}); get the model again") from error
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ConfigError(f"model.path: {folder} has no tokenizer: save the model's tokenizer into the same folder")
    # A link into a cache of the hub may lead nowhere.
    if weights and not any(path.is_file() and path.stat().st_size for kind in ("*.safetensors", "*.bin") for path in folder.glob(kind)):
        raise ConfigError(f"model.path: {folder} has no weights (*.safetensors or *.bin, not empty); get the model again")


def _numbers(value: Any, path: list[Any]) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield _name(path), value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _numbers(item, [*path, key])
