"""Files in the published layout, made for the tests."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

RESPONSE = (
    "[Reasoning]\nAdd.\n\n[Implementation]\n```python\ndef add(x):\n    return x + {0}\n```\n\n"
    "[Explanation]\nIt adds.\n\n[Tests]\n```python\nassert add(1) == {1}\n```"
)


def _published(dataset, seeds=12, samples=3):
    """Rows of a published dataset: ancestors inline, foreign ids, a prompt and a fingerprint in each."""
    rows = []
    for number in range(seeds):
        code = f'def f{number}(x):\n    """Add {number}."""\n    return x + {number}'
        origin = {"sha1": hashlib.sha1(code.encode()).hexdigest(), "id": 1000 + number}
        if dataset in ("functions", "seeds"):
            rows.append({"content": code, **origin})
            continue
        row = {"prompt": "Example 1", "fingerprint": "4f", "seed": code, **origin, "concepts": ["addition", f"number {number}"]}
        if dataset != "concepts":
            row["instruction"] = f"Write a function that adds {number}."
        if dataset in ("responses", "executed"):
            rows += [{**row, "response": RESPONSE.format(number, number + 1) + f"\n# {sample}"} for sample in range(samples)]
        elif dataset == "dataset":
            rows.append({**row, "response": f"```python\ndef add(x):\n    return x + {number}\n```"})
        else:
            rows.append(row)
    return rows


@pytest.fixture
def put(tmp_path):
    """Write rows as a parquet or JSONL file of this name; returns its path."""

    def write(name, rows):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def published():
    """Rows of a published dataset by its name."""
    return _published
