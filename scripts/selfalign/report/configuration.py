"""docs/configuration.md, generated from the config schema: `python -m selfalign.report.configuration > docs/configuration.md`."""

import json
from collections.abc import Iterator
from typing import Any

from selfalign.data.config import load_schema

_HEAD = """# Configuration

Every key of a config, from `schemas/config.schema.yaml`, which alone holds meanings and defaults (`make docs` writes this page). A partial
mapping keeps the other defaults of its part: `judge: {examples: 2}` changes one number. `[]` marks the entries of a list.

| key | type | default | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    return _HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in rows(load_schema()))


def rows(schema: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, meaning) of every key, as Markdown."""
    return _rows(schema, "", schema["required"])


def _rows(node: dict[str, Any], prefix: str, required: list[str]) -> Iterator[tuple[str, str, str, str]]:
    defaults = node.get("default") or {}
    for name, part in node["properties"].items():
        key = f"{prefix}{name}"
        default = defaults.get(name, part.get("default"))
        has_parts = "properties" in part or "properties" in part.get("items", {})
        shown = "required" if name in required else "" if has_parts and not default else f"`{json.dumps(default, ensure_ascii=False)}`"
        if "properties" in part:
            shown = "required" if name in required else ""
        yield f"`{key}`", _kind(part), shown.replace("|", "\\|"), part.get("description", "").replace("|", "\\|")
        if "properties" in part:
            yield from _rows(part, f"{key}.", part.get("required", []))
        elif "properties" in part.get("items", {}):
            yield from _rows(part["items"], f"{key}[].", part["items"].get("required", []))


def _kind(part: dict[str, Any]) -> str:
    if "enum" in part:
        return "one of " + ", ".join(map(str, part["enum"]))
    if "oneOf" in part:
        return " or ".join(str(option.get("const", option.get("type"))) for option in part["oneOf"])
    if part["type"] == "array":
        return f"list of {_kind(part['items'])}"
    limits = [("minimum", "from {}"), ("exclusiveMinimum", "above {}"), ("maximum", "to {}")]
    return " ".join([part["type"], *(text.format(part[limit]) for limit, text in limits if limit in part)])


if __name__ == "__main__":
    print(page(), end="")
