import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.metadata import version

import psutil
import pytest

from selfalign.data.errors import InputError
from selfalign.data.ids import content_id, shard_of
from selfalign.seeds.extract import extract_functions
from selfalign.seeds.workers import parse_files
from selfalign.sources.source_file import SourceFile

SOURCE = {"name": "mine", "kind": "folder", "packages": [], "data_dir": "", "split": "train", "licence": "MIT", "limit": 0}


def function(name, body="return 1"):
    return f'def {name}(x):\n    """Do {name}."""\n    {body}\n'


def extract(sources, tmp_path, shards=1, licences=("MIT",), processes=1):
    tables = list(extract_functions(sources, list(licences), shards, str(tmp_path), processes=processes))
    assert list(tmp_path.glob("extract-*")) == []  # nothing is left behind
    return [(kept.to_pylist(), dropped.to_pylist()) for kept, dropped in tables]


def one(sources, tmp_path, **more):
    [(kept, dropped)] = extract(sources, tmp_path, **more)
    return kept, dropped


def names(rows):
    return sorted(row["content"].split("def ")[1].split("(")[0] for row in rows)


MODULE = '''"""A module."""
import functools
import os.path as osp
import xml.dom
import xml.sax
from . import helper
from _private import thing


CONSTANT = 1


@functools.cache
def decorated(x):
    """Documented."""
    return xml.dom.minidom.parseString(osp.join(x, helper(thing)))


async def waiting(x):
    r"""Raw \\d."""
    return CONSTANT


def plain(x):
    return x


def single(x):
    \'\'\'Single quotes.\'\'\'
    return x


def blank(x):
    """   """
    return x


def formatted(x):
    f"""No docstring."""
    return x


class Thing:
    def method(self):
        """Not at top level."""
        return 1


if CONSTANT:
    def nested(x):
        """Not at top level."""
        return 1


def commented(x):  # a comment
    # another
    """Documented."""
    return x
'''


def test_top_level_functions_with_a_docstring_in_triple_double_quotes_are_kept(folder, tmp_path):
    kept, dropped = one([folder({"module.py": MODULE})], tmp_path)
    assert names(kept) == ["commented", "decorated", "waiting"]
    assert Counter(row["reason"] for row in dropped) == {"no_docstring": 4}
    row = next(row for row in kept if "decorated" in row["content"])
    assert row["content"].startswith("@functools.cache\ndef decorated(x):")
    assert (row["path"], row["line"], row["licence"], row["source"]) == (
        "module.py",
        MODULE[: MODULE.index("def decorated")].count("\n") + 1,
        "MIT",
        "mine",
    )
    assert row["id"] == content_id(row["content"])


def test_a_row_carries_what_its_file_imports_for_the_names_it_mentions(folder, tmp_path):
    kept, _ = one([folder({"module.py": MODULE})], tmp_path)
    imports = {row["content"].split("def ")[1].split("(")[0]: row["imports"] for row in kept}
    # A relative import and a private module are nothing that another program can import.
    assert imports["decorated"] == ["import functools", "import os.path as osp", "import xml.dom", "import xml.sax"]
    assert imports["commented"] == []


def test_broken_and_python_2_files_give_their_good_functions(folder, tmp_path):
    old = 'def shout(x):\n    """Say it."""\n    print "x", x\n    return x\n\n\n' + function("fine")
    broken = function("before") + "\nclass Half(:\n    x = = 1\n\n\n" + function("after") + "\n\ndef open_end(x:\n    return\n"
    kept, dropped = one([folder({"old.py": old, "broken.py": broken, "nul.py": b"x = '\0'\n" + function("strange").encode()})], tmp_path)
    assert {"before", "fine"} <= set(names(kept))
    assert ("syntax_error", "old.py:1") in {(row["reason"], row["detail"].split(": ")[0]) for row in dropped}


def test_bad_files_and_foreign_licences_are_counted_rows(folder, tmp_path):
    sources = [
        folder({"good.py": function("good"), "latin.py": b'def f(x):\n    """\xe9"""\n'}),
        folder({"gpl.py": function("gpl"), "nowhere.py": function("x")}, name="copyleft", licence="GPL-3.0-only"),
    ]
    with pytest.raises(InputError, match="source 'copyleft': no usable function.*licence 2"):
        one(sources, tmp_path)
    kept, dropped = one(sources[:1], tmp_path)
    assert names(kept) == ["good"]
    assert [(row["reason"], row["detail"].split(":")[0]) for row in dropped] == [("not_utf8", "latin.py")]


def test_of_exact_copies_the_first_by_source_path_and_line_stays(folder, tmp_path):
    copies = {"z.py": function("same"), "a/b.py": "\n\n" + function("same") + "\n\n" + function("same"), "m.py": function("other")}
    sources = [folder(copies, name="second"), folder({"late.py": function("same")}, name="first")]
    kept, dropped = one(sources, tmp_path)
    assert names(kept) == ["other", "same"]
    same = next(row for row in kept if "same" in row["content"])
    assert (same["source"], same["path"]) == ("first", "late.py")
    assert sorted(row["detail"] for row in dropped) == [
        f"second {place} is a copy of first late.py:1" for place in ("a/b.py:3", "a/b.py:8", "z.py:1")
    ]
    assert {row["id"] for row in dropped} == {same["id"]}


def test_every_definition_and_bad_file_is_kept_or_dropped_in_the_shard_of_its_id(folder, tmp_path):
    files = {f"f{i}.py": "".join(function(f"f{i}_{j}") + "\n\ndef g(x):\n    return x\n\n\n" for j in range(i)) for i in range(1, 9)}
    source = folder({**files, "bad.py": b"\xff"})
    shards = extract([source], tmp_path, shards=5)
    rows = [row for kept, dropped in shards for row in kept + dropped]
    assert len(rows) == 2 * 36 + 1
    for shard, (kept, dropped) in enumerate(shards):
        assert all(shard_of(row["id"], 5) == shard for row in kept + dropped)
    [(kept, dropped)] = extract([source], tmp_path)
    key = str
    assert sorted(kept, key=key) == sorted((row for kept, _ in shards for row in kept), key=key)
    assert sorted(dropped, key=key) == sorted((row for _, dropped in shards for row in dropped), key=key)


def test_the_order_of_files_does_not_matter(folder, tmp_path, monkeypatch):
    source = folder({f"{name}.py": function("same") + "\n\n" + function(name) for name in "abcdef"})
    expected = one([source], tmp_path)
    import selfalign.seeds.extract as module

    read = module.read_source

    def shuffled(source):
        files = list(read(source))
        random.Random(4).shuffle(files)
        return iter(files)

    monkeypatch.setattr(module, "read_source", shuffled)
    kept, dropped = one([source], tmp_path)
    key = str
    assert (sorted(kept, key=key), sorted(dropped, key=key)) == (sorted(expected[0], key=key), sorted(expected[1], key=key))


def test_a_limit_takes_the_functions_with_the_smallest_ids_and_counts_the_rest(folder, tmp_path):
    files = {f"f{i}.py": function(f"f{i}") for i in range(12)}
    kept, _ = one([folder(files)], tmp_path)
    ids = sorted(row["id"] for row in kept)
    # A copy is no new function, and does not use up the limit.
    limited, dropped = one([folder({**files, "copy.py": function("f3")}, name="copied", limit=5)], tmp_path)
    assert sorted(row["id"] for row in limited) == ids[:5]
    reasons = Counter(row["reason"] for row in dropped)
    assert reasons["over_limit"] + reasons["duplicate"] == 8
    assert one([folder(files, limit=12)], tmp_path)[1] == []


def test_a_source_without_a_usable_function_is_an_error_that_says_why(folder, tmp_path):
    with pytest.raises(InputError, match="source 'mine': no usable function.*no_docstring 1"):
        one([folder({"a.py": "def f(x):\n    return x\n"})], tmp_path)
    with pytest.raises(InputError, match="source 'bare': no usable function.*define no function"):
        one([folder({"a.py": "x = 1\n"}, name="bare")], tmp_path)


def test_the_number_of_processes_changes_nothing(folder, tmp_path):
    files = {f"{i}.py": "\n\n".join(function(f"f{i}_{j}") for j in range(3)) + "\n\ndef g(x):\n    pass\n" for i in range(150)}
    source = folder(files | {"bad.py": b"\xff\xfe"})
    alone = extract([source], tmp_path, shards=3)
    assert sum(len(kept) for kept, _ in alone) == 450
    assert extract([source], tmp_path, shards=3, processes=3) == alone


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_takes_the_parser_down_is_one_rejected_file(processes):
    """For real: the process ends, as it does when a parser in C fails or memory runs out."""
    files = [SourceFile("mine", f"{number}.py", "MIT", text=function(f"f{number}")) for number in range(300)]
    answers = parse_files(iter(files), _parse_or_die, lambda file: ([], [file.path]), processes)
    assert list(answers) == [([], [f"{number}.py"]) if number in (7, 8, 200) else ([f"{number}.py"], []) for number in range(300)]


def _parse_or_die(file):
    if file.path in ("7.py", "8.py", "200.py"):
        os.kill(os.getpid(), signal.SIGKILL)
    return [file.path], []


READING = """
import itertools
from selfalign.seeds.workers import parse_files
from selfalign.sources.source_file import SourceFile

def parse(file):
    return [file.text], []

files = (SourceFile("mine", f"{i}.py", "MIT", text="x" * 10_000) for i in itertools.count())
for _ in parse_files(files, parse, parse, 2):
    pass
"""


def test_workers_end_with_a_job_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", READING]) as job:
        while len(workers := psutil.Process(job.pid).children()) < 2:
            assert job.poll() is None
            time.sleep(0.05)
        job.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_rows_say_from_which_repository_or_package_they_are(folder, tmp_path):
    rows = [{"content": function("f"), "path": "a.py", "repo_name": "someone/thing", "license": ["mit"]}, {"content": function("g")}]
    path = folder({"rows.jsonl": "\n".join(map(json.dumps, rows))})["path"]
    columns = {"content": "content", "path": "path", "repository": "repo_name", "licence": "license"}
    kept, _ = one([{**SOURCE, "kind": "jsonl", "path": f"{path}/rows.jsonl", "columns": columns}], tmp_path)
    assert {row["path"]: row["repository"] for row in kept} == {"a.py": "someone/thing", "rows.jsonl#1": ""}
    kept, _ = one([{**SOURCE, "kind": "packages", "packages": ["jsonschema"]}], tmp_path)
    assert {row["repository"] for row in kept} == {f"jsonschema=={version('jsonschema')}"}
