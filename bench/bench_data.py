"""Speed, memory and quality of the data steps, on functions of the packages that are installed here.

    make bench-data                                        # installs text-dedup into an environment of its own, then
    python bench/bench_data.py [--compared 20000] [--scaled 1000000] [--judged 600] [--parts extract,dedup,mutate,scale,filter,decontaminate]

extract: all installed packages. dedup: mutated functions with known duplicates through this project, datasketch and, where `--text-dedup` names a
Python that has it, text-dedup. mutate: writes a corpus of `--scaled` texts; scale: this project alone on it, through files as in the workflow.
filter: the static filters with the type checkers against a pass of basedpyright over every function. decontaminate: 10,000 patterns.
Each part runs in a process of its own, whose peak memory is printed. Rates are per second of CPU time of all its processes together, which is
what a core does on a machine that is free.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from known_duplicates import THRESHOLD, components, mutated, packages, quality, true_pairs

from selfalign.data.config import defaults
from selfalign.data.files import read_shard, read_shards, write_table
from selfalign.data.ids import content_id, shard_of
from selfalign.dedup.bands import band, band_schema
from selfalign.dedup.clusters import write_keep_lists
from selfalign.dedup.links import write_links
from selfalign.dedup.shingles import words_of
from selfalign.dedup.signatures import sign, signature_schema

DEDUP = {"threshold": THRESHOLD, "ngram": 5, "permutations": 250}
PATTERNS = 10_000
PUBLISHED_BATCH = 250  # functions of a call of the type checker
SHARDS = 32
SCALED = pa.schema([("id", pa.string()), ("text", pa.string()), ("family", pa.int64())])


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Clock:
    """CPU and wall time of a block, with the peak memory of its process so far."""

    def __enter__(self):
        self.cpu, self.wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_):
        self.cpu, self.wall = cpu_seconds() - self.cpu, time.perf_counter() - self.wall
        self.peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024

    def line(self, name: str, count: int, what: str = "texts") -> str:
        return f"{name:32} {count / self.cpu:12,.0f} {what}/s of CPU, {count:,} in {self.wall:.1f} s, peak {self.peak:,.0f} MB"


def extract(path: str) -> None:
    """Functions of all installed packages, written to `path`."""
    from selfalign.seeds import extract as module
    from selfalign.sources import python_files

    module.licence_allowed = lambda licence, allowed: True
    python_files.package_licence = lambda package: "MIT"
    size = 0

    def advance(files: int, **facts: int) -> None:
        nonlocal size
        size += files

    with tempfile.TemporaryDirectory() as spool, Clock() as clock:
        kept, dropped = zip(*module.extract_functions(packages(), [], 4, spool, advance, os.cpu_count() or 1), strict=True)
    kept = pa.concat_tables(kept)
    pq.write_table(kept.sort_by("id"), path)
    print(clock.line("extract", kept.num_rows + sum(table.num_rows for table in dropped), "functions"))
    print(f"{'':32} {kept.num_rows:,} kept of {size:,} files")


def deduplicate(shards: Iterable[tuple[list[str], list[str]]], folder: Path, verify: str) -> list[Path]:
    """The project's near-dedup over (ids, texts) of each shard, through files as the rules do it: the keep-lists."""
    cfg = {**DEDUP, "verify": verify}
    size = cfg["permutations"]
    bands = []
    for number, (ids, texts) in enumerate(shards):
        signatures = folder / "signatures" / f"{number}.parquet"
        write_table(sign(ids, texts, cfg["ngram"], size), signatures, signature_schema(size))
        bands.append(folder / "bands" / f"{number}.parquet")
        write_table(band(read_shard(signatures), cfg), bands[-1], band_schema(cfg))
    links = folder / "links.parquet"
    write_links(bands, shards, (0, 1), np.zeros(0, np.uint64), cfg, links, folder / "spool")
    lists = [folder / "clusters" / path.name for path in bands]
    write_keep_lists([links], lists)
    return lists


def representatives_of(lists: list[Path]) -> dict[str, str]:
    """id -> representative, from keep-lists."""
    table = read_shards(lists)
    return dict(zip(table["id"].to_pylist(), table["representative"].to_pylist(), strict=True))


def dedup(functions: str, count: int, text_dedup: str) -> None:
    """The project, datasketch and text-dedup on the same corpus."""
    texts = pq.read_table(functions, columns=["content"])["content"].to_pylist()
    corpus = list(mutated(texts, count))
    truth = true_pairs(corpus)
    rows = [text for _, text in corpus]
    ids = [content_id(text) for text in rows]
    print(f"dedup: {len(rows):,} texts, {sum(map(len, rows)) / 1e6:.0f} MB, {len(truth):,} true pairs at {DEDUP['threshold']}")
    sign(ids[:10], rows[:10], DEDUP["ngram"], DEDUP["permutations"])  # compiled, or loaded from the cache of compiled code
    speeds = {}
    for verify in ("signature", "jaccard"):
        with tempfile.TemporaryDirectory() as folder:
            with Clock() as clock:
                lists = deduplicate([(ids, rows)], Path(folder), verify)
            found = representatives_of(lists)
        name = f"selfalign, verify: {verify}"
        speeds[name] = len(rows) / clock.cpu
        print(clock.line(name, len(rows)), quality([found.get(row, row) for row in ids], truth), sep=", ")
    with Clock() as clock:
        groups = with_datasketch(rows)
    speeds["datasketch"] = len(rows) / clock.cpu
    print(clock.line("datasketch 2.0", len(rows)), quality(groups, truth), sep=", ")
    if text_dedup:
        with Clock() as clock:
            groups = with_text_dedup(rows, text_dedup)
        speeds["text-dedup"] = len(rows) / clock.cpu
        print(clock.line("text-dedup 0.4.0", len(rows)), quality(groups, truth), sep=", ")
    for other in ("datasketch", "text-dedup"):
        if other in speeds:
            print(f"ratio to {other}: " + ", ".join(f"{name} {speed / speeds[other]:.1f}" for name, speed in speeds.items() if "selfalign" in name))


def with_datasketch(rows: list[str]) -> list[int]:
    """Plain datasketch: shingles as sets of texts, MinHash.bulk, MinHashLSH, each text queried and then inserted."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=DEDUP["threshold"], num_perm=DEDUP["permutations"])
    pairs = []
    for start in range(0, len(rows), 1000):
        shingles = []
        for text in rows[start : start + 1000]:
            words = words_of(text)
            shingles.append([" ".join(words[i : i + 5]).encode() for i in range(max(len(words) - 4, 1))])
        for number, minhash in enumerate(MinHash.bulk(shingles, num_perm=DEDUP["permutations"])):
            row = start + number
            pairs += [(row, other) for other in lsh.query(minhash)]
            lsh.insert(row, minhash)
    return components(len(rows), pairs)


def with_text_dedup(rows: list[str], python: str) -> list[int]:
    """text-dedup's MinHash as its command runs it, with the same n-grams, permutations and threshold, on two processes."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "corpus"
        source.mkdir()
        pq.write_table(pa.table({"text": rows, "number": list(range(len(rows)))}), source / "rows.parquet")
        target = Path(folder) / "out"
        arguments = ["--path", "parquet", "--data_files", str(source / "rows.parquet"), "--split", "train", "--column", "text"]
        arguments += ["--output", str(target), "--debug"]  # which leaves the clusters beside the dataset
        options = ["--ngram", "5", "--num_perm", "250", "--threshold", "0.7", "--min_length", "0", "--num_proc", "2", "--idx_column", "number"]
        environment = {**os.environ, "HF_HOME": folder, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
        command = [os.path.abspath(python), "-m", "text_dedup.minhash", *arguments, *options, "--cache_dir", folder]
        answer = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise SystemExit(f"text-dedup failed: {answer.stderr.strip().splitlines()[-1]}")
        code = "import json, pickle, sys; uf = pickle.load(open(sys.argv[1], 'rb')); print(json.dumps([[x, uf.find(x)] for x in list(uf.parent)]))"
        found = subprocess.run([command[0], "-c", code, str(target / "uf.pkl")], env=environment, capture_output=True, text=True, check=True)
    group_of = dict(json.loads(found.stdout))
    return [group_of.get(row, row) for row in range(len(rows))]


def write_scaled(functions: str, count: int) -> None:
    """The large corpus of mutated functions, in shards (id, text, family)."""
    texts = pq.read_table(functions, columns=["content"])["content"].to_pylist()
    folder = scaled_folder(functions, count)
    folder.mkdir(exist_ok=True)
    seen = set()
    writers = [pq.ParquetWriter(folder / f"{shard}.parquet", SCALED) for shard in range(SHARDS)]
    waiting: list[list[tuple[str, str, int]]] = [[] for _ in range(SHARDS)]
    for family, text in mutated(texts, count):
        row = content_id(text)
        if row not in seen:
            seen.add(row)
            own = waiting[shard_of(row, SHARDS)]
            own.append((row, text, family))
            if len(own) == 2000:
                _flush(writers[shard_of(row, SHARDS)], own)
    for writer, own in zip(writers, waiting, strict=True):
        _flush(writer, own)
        writer.close()


def scaled_folder(functions: str, count: int) -> Path:
    return Path(functions).with_name(f"scaled-{count}")


def scale(functions: str, count: int) -> None:
    """The project alone, on a large corpus that is never in memory as a whole."""
    paths = [scaled_folder(functions, count) / f"{shard}.parquet" for shard in range(SHARDS)]
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in paths)
    sign(["0" * 16], ["one two three"], DEDUP["ngram"], DEDUP["permutations"])
    with tempfile.TemporaryDirectory() as folder:
        with Clock() as clock:
            lists = deduplicate(_Shards(paths), Path(folder), "jaccard")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet")) / 1e6
        found = representatives_of(lists)
    print(clock.line("dedup at scale", rows))
    families = {}
    for path in paths:
        table = pq.read_table(path, columns=["id", "family"], partitioning=None)
        families.update(zip(table["id"].to_pylist(), table["family"].to_pylist(), strict=True))
    dropped = [row for row, one in found.items() if row != one]
    astray = sum(families[row] != families[found[row]] for row in dropped)
    print(f"{'':32} {len(dropped):,} dropped, {astray} of them for a text of another family, {size:,.0f} MB of files")


class _Shards:
    """(ids, texts) of each shard, read when it is its turn."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __iter__(self):
        for path in self.paths:
            table = pq.read_table(path, columns=["id", "text"], partitioning=None)
            yield table["id"].to_pylist(), table["text"].to_pylist()


def _flush(writer: pq.ParquetWriter, rows: list[tuple[str, str, int]]) -> None:
    if rows:
        writer.write_table(pa.table(list(map(list, zip(*rows, strict=True))), schema=SCALED))
        rows.clear()


def judge(functions: str, count: int) -> None:
    """The cascade of filters with each checker, against a pass of basedpyright over every function."""
    from selfalign.seeds.environment import environment_of
    from selfalign.seeds.filters import filter_functions, static_reason, undefined_names
    from selfalign.seeds.imports import imported_modules, infer_imports
    from selfalign.seeds.parse import function_of
    from selfalign.seeds.typecheck import Program
    from selfalign.selection.decontamination import Decontamination

    table = pq.read_table(functions).slice(0, count)
    rows = table.to_pylist()
    cfg = defaults("functions")
    environment = environment_of()
    undefined = undefined_names(rows, environment.minor)
    programs = []
    for row in rows:
        tree = function_of(row["content"])
        imports, _ = infer_imports(tree, undefined[row["id"]], row["imports"])
        modules = sorted({module.partition(".")[0] for module in imported_modules(tree, imports) if not module.startswith(".")})
        programs.append(Program(row["id"], row["content"], tuple(imports), tuple(modules)))
    with Clock() as clock:
        right = checked_as_published(programs, environment)
    print(clock.line("basedpyright on everything", len(rows), "functions"))
    alone = clock.cpu
    passes = {row["id"] for row in rows if row["id"] in right and not static_reason(function_of(row["content"]), row["content"], cfg)}
    nobody = Decontamination([], 10)
    reference = set()
    for name in ("basedpyright", "ty", "pyrefly"):
        with Clock() as clock:
            kept, dropped = filter_functions(table, {}, nobody, {**cfg, "type_checker": name}, None)
        found = set(kept["id"].to_pylist())
        if name == "basedpyright":
            reference = found
            judged = sum(reason == "type_error" for reason in dropped["reason"].to_pylist()) + len(found)
            astray = found - right
            print(f"{'':32} {judged} of {len(rows)} reach the checker; {len(found)} kept, of which basedpyright alone refuses {len(astray)};")
            print(f"{'':32} it passes {len(passes - found)} more, which lack an import or use a forbidden module")
        agree = f"{len(found ^ reference)} of {len(rows)} verdicts differ from basedpyright's"
        print(clock.line(f"filters with {name}", len(rows), "functions"), f"ratio to basedpyright alone {alone / clock.cpu:.1f}", agree, sep=", ")


def checked_as_published(programs: list, environment) -> set[str]:
    """The programs without a type error, checked as the published code does: a file each, PUBLISHED_BATCH of a call, in the order of the rows.

    Node has its own defaults.
    """
    from selfalign.seeds.checkers import CHECKERS
    from selfalign.seeds.typecheck import _run_checker

    right = set()
    for start in range(0, len(programs), PUBLISHED_BATCH):
        batch = programs[start : start + PUBLISHED_BATCH]
        errors, failure = _run_checker(CHECKERS["basedpyright"], batch, 3600, environment, node_options="")
        if errors is None:
            raise SystemExit(f"basedpyright failed: {failure}")
        right |= {program.id for program in batch} - errors.keys()
    return right


def decontaminate(functions: str) -> None:
    """MB/s of text against 10,000 problems made of functions; their copies must all be found."""
    from selfalign.selection.decontamination import Decontamination, Problem

    texts = pq.read_table(functions, columns=["content"])["content"].to_pylist()
    long = [text for text in texts if len(words_of(text)) >= 40]
    number = min(PATTERNS, len(long) // 2)
    problems = [Problem("bench", str(i), (text[: len(text) // 2],), (text[len(text) // 2 :],)) for i, text in enumerate(long[:number])]
    index = Decontamination([problems], 10)
    rest = long[number:] * max(1, int(60e6 / sum(map(len, long[number:]))))
    index.find(rest[:10])
    with Clock() as clock:
        hits = index.find(rest)
    size = sum(map(len, rest)) / 1e6
    speed = f"{size / clock.cpu:12,.0f} MB/s of CPU"
    print(f"{'decontaminate':32} {speed}, {number:,} problems, {size:.0f} MB in {clock.wall:.1f} s, peak {clock.peak:,.0f} MB")
    copies = index.find([problem.statements[0] for problem in problems])
    print(f"{'':32} {sum(hit is not None for hit in copies):,} of {number:,} copies found; {sum(hit is not None for hit in hits):,} hits in the rest")


def alone(part, *arguments) -> None:
    """Run a part in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(part, *arguments).result()
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compared", type=int, default=20_000, help="texts that every tool deduplicates")
    parser.add_argument("--scaled", type=int, default=1_000_000, help="texts that this project deduplicates alone")
    parser.add_argument("--judged", type=int, default=600, help="functions that the type checkers judge")
    parser.add_argument("--text-dedup", default="", help="a Python that has text-dedup 0.4.0")
    parser.add_argument("--parts", default="extract,dedup,mutate,scale,filter,decontaminate")
    parser.add_argument("--corpus", default="cache/bench/functions.parquet", help="where the extracted functions lie, so that parts can run alone")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    Path(arguments.corpus).parent.mkdir(parents=True, exist_ok=True)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if "extract" in parts or not Path(arguments.corpus).exists():
        alone(extract, arguments.corpus)
    if "dedup" in parts:
        alone(dedup, arguments.corpus, arguments.compared, arguments.text_dedup)
    if "mutate" in parts:
        alone(write_scaled, arguments.corpus, arguments.scaled)
    if "scale" in parts:
        alone(scale, arguments.corpus, arguments.scaled)
    if "filter" in parts:
        alone(judge, arguments.corpus, arguments.judged)
    if "decontaminate" in parts:
        alone(decontaminate, arguments.corpus)


if __name__ == "__main__":
    main()
