"""What the rows are about, and which of them are alike: counts over whole datasets, a column at a time."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfalign.report.examples import files_of, texts_of

_STAGES = ("instructions", "responses", "executed", "dataset")  # how far an instruction came
_LARGEST = 3  # clusters of a pass that are shown
_PART_LISTING = {"functions": "function", "instruction": "instruction", "response": "response", "code": "response"}


def concept_counts(kept: Sequence[str], top: int) -> dict[str, Any]:
    """lists: how many lists have each number of concepts; distinct and total concepts; the `top` ones with the number of lists that have them."""
    lengths: Counter[int] = Counter()
    names: Counter[str] = Counter()
    for path in files_of(kept, "concepts"):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["concepts"]):
                lengths.update(pc.list_value_length(batch["concepts"]).to_pylist())
                for entry in pc.value_counts(pc.utf8_lower(pc.list_flatten(batch["concepts"]))).to_pylist():
                    names[entry["values"]] += entry["counts"]
    if not lengths:
        return {}
    ordered = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    return {"lists": dict(sorted(lengths.items())), "distinct": len(names), "total": sum(names.values()), "top": ordered[:top]}


def property_counts(kept: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """For difficulty and category: value -> rows of each dataset from instructions to the final one that exists."""
    files = files_of(kept, "instructions")
    if not files:
        return {}
    asked = pa.concat_tables([pq.read_table(path, columns=["id", "difficulty", "category"], partitioning=None) for path in files])
    counts: dict[str, dict[str, dict[str, int]]] = {"difficulty": {}, "category": {}}
    for dataset in _STAGES:
        key = "id" if dataset == "instructions" else "instruction_id"
        for path in files_of(kept, dataset):
            ids = pq.read_table(path, columns=[key], partitioning=None)[key]
            found = asked.take(pc.drop_null(pc.index_in(ids, asked["id"])))
            for name, values in counts.items():
                for entry in pc.value_counts(found[name]).to_pylist():
                    row = values.setdefault(entry["values"] or "not given", {})
                    row[dataset] = row.get(dataset, 0) + entry["counts"]
    return {name: dict(sorted(values.items(), key=lambda item: (-item[1].get("instructions", 0), item[0]))) for name, values in counts.items()}


def origin_counts(kept: Sequence[str]) -> list[dict[str, Any]]:
    """By source and licence: functions that became seeds, and final rows that come from them."""
    files = files_of(kept, "seeds")
    if not files:
        return []
    seeds = pa.concat_tables([pq.read_table(path, columns=["id", "source", "licence"], partitioning=None) for path in files])
    final: Counter[str] = Counter()
    for path in files_of(kept, "dataset"):
        final.update(pq.read_table(path, columns=["function_id"], partitioning=None)["function_id"].to_pylist())
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for row in seeds.to_pylist():
        origin = {name: row[name] or "not given" for name in ("source", "licence")}
        entry = table.setdefault((origin["source"], origin["licence"]), {**origin, "seeds": 0, "rows": 0})
        entry["seeds"] += 1
        entry["rows"] += final[row["id"]]
    return sorted(table.values(), key=lambda entry: (-entry["rows"], -entry["seeds"], entry["source"], entry["licence"]))


def length_counts(kept: Sequence[str]) -> dict[str, dict[int, int]]:
    """Of seeds, and of the final rows' instructions and responses: number of words (a power of two) -> texts with as many, but less than twice."""
    counts = {}
    for name, dataset, column in (("seed", "seeds", "content"), ("instruction", "dataset", "instruction"), ("response", "dataset", "response")):
        found: Counter[int] = Counter()
        for path in files_of(kept, dataset):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=[column]):
                    words = pc.count_substring_regex(batch[column], r"\S+").to_pylist()
                    found.update(1 << max(number.bit_length() - 1, 0) for number in words)
        if found:
            counts[name] = dict(sorted(found.items()))
    return counts


def cluster_facts(clusters: Iterable[str], kept: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By near-dedup pass: clusters, rows in them, sizes (size -> clusters), and the largest ones with a member beside what stands for it.

    `clusters` are the keep-lists of all shards, dedup/<pass>/clusters/<shard>.parquet; a cluster may lie in several of a pass.
    """
    passes: dict[str, dict[str, Any]] = {}
    shards: dict[str, list[pa.Table]] = {}
    for path in map(Path, clusters):
        if path.exists():
            shards.setdefault(path.parents[1].name, []).append(pq.read_table(path, partitioning=None))
    for part, tables in shards.items():
        table = pa.concat_tables(tables)
        centres = table.filter(pc.equal(table["id"], table["representative"]))
        sizes = {entry["values"]: entry["counts"] for entry in pc.value_counts(centres["cluster_size"]).to_pylist()}
        largest = centres.sort_by([("cluster_size", "descending"), ("id", "ascending")]).slice(0, _LARGEST).to_pylist()
        passes[part] = {
            "clusters": centres.num_rows,
            "rows": table.num_rows,
            "sizes": dict(sorted(sizes.items())),
            "largest": [{"size": centre["cluster_size"], **_member(centre["id"], table)} for centre in largest],
        }
    for part, found in passes.items():
        ids = {cluster[key] for cluster in found["largest"] for key in ("id", "member")}
        texts = texts_of(_PART_LISTING.get(part, "response"), kept, ids)
        for cluster in found["largest"]:
            cluster["difference"] = _difference(texts.get(cluster["id"], ""), texts.get(cluster["member"], ""), cluster["id"], cluster["member"])
    return passes


def _member(centre: str, table: pa.Table) -> dict[str, str]:
    """The centre and the member of its cluster that comes next to it in order of id."""
    members = table.filter(pc.and_(pc.equal(table["representative"], centre), pc.not_equal(table["id"], centre)))["id"]
    return {"id": centre, "member": pc.min(members).as_py()}


def _difference(left: str, right: str, left_name: str, right_name: str) -> str:
    """A unified diff that shows both texts whole; of equal texts the text."""
    if left == right:
        return left
    lines = difflib.unified_diff(left.splitlines(), right.splitlines(), f"stays   {left_name}", f"dropped {right_name}", n=10_000, lineterm="")
    return "\n".join(line for line in lines if not line.startswith("@@"))
