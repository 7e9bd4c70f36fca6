import gzip
import io
import json
import os
import random
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from selfalign.data.errors import ConfigError, InputError
from selfalign.sources.reader import read_source


def source(kind, path="", **more):
    base = {"name": "mine", "kind": kind, "path": str(path), "packages": [], "data_dir": "", "split": "train", "licence": "MIT", "limit": 0}
    return {**base, "columns": {"content": "content", "path": "path", "repository": "repo_name", "licence": "license"}, **more}


def read(*arguments, **more):
    return {file.path: file for file in read_source(source(*arguments, **more))}


def test_a_folder_gives_its_python_files_with_paths_relative_to_it(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/one.py").write_text("x = 1\n")
    (tmp_path / "two.py").write_bytes(b"\xef\xbb\xbfx = 2\r\n")
    (tmp_path / "notes.txt").write_text("no")
    for hidden in (".git", "__pycache__"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "no.py").write_text("no")
    files = read("folder", tmp_path)
    assert sorted(files) == ["a/b/one.py", "two.py"]
    assert files["two.py"].text == "x = 2\n"  # no byte order mark, no carriage return
    assert (files["two.py"].licence, files["two.py"].source) == ("MIT", "mine")


def test_files_that_are_no_text_and_links_to_nowhere_are_counted_and_the_rest_is_read(tmp_path):
    (tmp_path / "good.py").write_text("x = 'é'\n", encoding="utf-8")
    (tmp_path / "declared.py").write_bytes("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    (tmp_path / "undeclared.py").write_bytes("x = 'é'\n".encode("latin-1"))
    (tmp_path / "unknown.py").write_bytes(b"# coding: klingon\nx = 1\n")
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    os.mkfifo(tmp_path / "pipe.py")
    files = read("folder", tmp_path)
    assert files["good.py"].text == "x = 'é'\n"
    assert files["declared.py"].text.endswith("x = 'é'\n")
    errors = {path: file.error for path, file in files.items() if file.text is None}
    assert errors == {"undeclared.py": "not_utf8", "unknown.py": "not_utf8", "dangling.py": "unreadable_file", "pipe.py": "unreadable_file"}


def _zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def _tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))


@pytest.mark.parametrize(("name", "write"), [("code.zip", _zip), ("code.tar.gz", _tar)])
def test_an_archive_reads_like_a_folder(tmp_path, name, write):
    write(tmp_path / name, {"pkg/one.py": b"x = 1\n", "pkg/data.csv": b"1", "pkg/.hidden/no.py": b"no", "bad.py": b"\xff\xfe\xff"})
    files = read("folder", tmp_path / name)
    assert files["pkg/one.py"].text == "x = 1\n"
    assert files["bad.py"].error == "not_utf8"
    assert len(files) == 2


def test_a_damaged_member_is_counted_and_a_damaged_archive_is_an_error(tmp_path):
    _zip(tmp_path / "code.zip", {"one.py": b"first_value = 1\n", "two.py": b"x = 2\n"})
    data = (tmp_path / "code.zip").read_bytes()
    (tmp_path / "code.zip").write_bytes(data.replace(b"first_value", b"FIRST_value", 1))
    files = read("folder", tmp_path / "code.zip")
    assert files["one.py"].error == "unreadable_file"
    assert files["two.py"].text == "x = 2\n"
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"'mine'.*broken\.zip"):
        read("folder", tmp_path / "broken.zip")


def test_a_folder_called_like_a_file_is_no_file_and_an_archive_that_was_cut_off_is_counted(tmp_path):
    _zip(tmp_path / "code.zip", {"pkg.py/": b"", "pkg.py/one.py": b"x = 1\n"})
    assert sorted(read("folder", tmp_path / "code.zip")) == ["pkg.py/one.py"]
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        for name in ("one.py", "two.py"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    assert sorted(read("folder", tmp_path / "whole.tar")) == ["one.py", "two.py"]
    data = (tmp_path / "whole.tar").read_bytes()
    for size in (512, 700):
        (tmp_path / "cut.tar").write_bytes(data[:size])
        files = read("folder", tmp_path / "cut.tar")
        assert [files[name].error for name in ("one.py", "cut.tar")] == ["", "unreadable_file"]
    noise = random.Random(1).randbytes(200_000)
    with tarfile.open(tmp_path / "whole.tgz", "w:gz") as archive:
        for name in ("one.py", "two.py"):
            info = tarfile.TarInfo(name)
            info.size = len(noise) if name == "two.py" else 0
            archive.addfile(info, io.BytesIO(noise))
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "whole.tgz").read_bytes()[:100_000])
    files = read("folder", tmp_path / "cut.tgz")
    assert [files[name].error for name in ("one.py", "cut.tgz")] == ["", "unreadable_file"]
    (tmp_path / "no.tar.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"no\.tar\.gz is not a readable archive \(file could not be opened successfully\)$"):
        read("folder", tmp_path / "no.tar.gz")


def test_the_standard_library_comes_without_tests_and_installed_packages():
    files = {file.path: file for file in read_source(source("stdlib", licence=""))}
    assert files["json/encoder.py"].module == "json.encoder"
    assert files["json/__init__.py"].module == "json"
    assert files["textwrap.py"].licence == "PSF-2.0"
    folders = {part for path in files for part in path.split("/")[:-1]}
    assert not folders & {"test", "tests", "idle_test", "site-packages", "__pycache__"}


def test_an_installed_package_comes_with_the_licence_of_its_metadata():
    files = list(read_source(source("packages", packages=["pytest"], licence="")))
    assert {file.licence for file in files} == {"MIT"}
    assert "_pytest/outcomes.py" in {file.path for file in files}
    with pytest.raises(InputError, match="'no-such-package' is not installed"):
        read("packages", packages=["no-such-package"])


def test_parquet_rows_are_files_with_their_own_path_and_licence(tmp_path):
    table = pa.table({"content": ["x = 1\r\n", None, "y"], "path": ["a.py", "b.py", None], "license": [["MIT", "ISC"], None, []]})
    pq.write_table(table, tmp_path / "part.parquet")
    files = read("parquet", tmp_path, licence="PSF-2.0")
    assert files["a.py"].text == "x = 1\n"
    assert files["a.py"].licence == "ISC AND MIT"
    assert (files["b.py"].error, files["b.py"].licence) == ("unreadable_file", "PSF-2.0")
    assert files["part.parquet#2"].text == "y"


def test_columns_can_have_other_names_and_a_missing_one_is_named(tmp_path):
    pq.write_table(pa.table({"code": ["x = 1"], "file": ["a.py"]}), tmp_path / "part.parquet")
    columns = {"content": "code", "path": "file", "repository": "repo_name", "licence": "license"}
    assert read("parquet", tmp_path / "part.parquet", columns=columns)["a.py"].text == "x = 1"
    with pytest.raises(InputError, match="no column 'content', only code, file; set columns.content"):
        read("parquet", tmp_path / "part.parquet")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_jsonl_lines_are_files_and_broken_lines_are_counted(tmp_path, name):
    lines = [json.dumps({"content": "x = 1", "path": "a.py", "license": "ISC"}), "{broken", "", "[1]", json.dumps({"content": "\ud800"})]
    with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    files = read("jsonl", tmp_path / name)
    assert (files["a.py"].text, files["a.py"].licence) == ("x = 1", "ISC")
    errors = {path: file.error for path, file in files.items() if file.error}
    assert errors == {f"{name}#1": "unreadable_file", f"{name}#3": "unreadable_file", f"{name}#4": "not_utf8"}


def test_a_file_that_cannot_be_read_costs_itself_in_a_folder_and_the_run_alone(tmp_path):
    text = "\n".join(json.dumps({"content": f"x = {random.Random(number).random()}"}) for number in range(5000))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(text.encode())[:-2000])
    (tmp_path / "good.jsonl").write_text('{"content": "y = 1"}\n')
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but no more")
    pq.write_table(pa.table({"content": ["z = 1"]}), tmp_path / "good.parquet")
    for hidden in ("._good.jsonl", "._good.parquet"):  # what macOS leaves beside files
        (tmp_path / hidden).write_bytes(b"\0")
    files = read("jsonl", tmp_path)
    assert files["good.jsonl#0"].text == "y = 1" and files["cut.jsonl.gz#0"].text
    assert {path for path, file in files.items() if file.error} == {"cut.jsonl.gz"}
    assert {path: file.error for path, file in read("parquet", tmp_path).items()} == {"bad.parquet": "unreadable_file", "good.parquet#0": ""}
    with pytest.raises(InputError, match="'mine': .*bad.parquet is not a readable parquet file"):
        read("parquet", tmp_path / "bad.parquet")


def test_a_jsonl_file_without_the_content_key_is_an_error(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(InputError, match="no key 'content', only text"):
        read("jsonl", tmp_path / "rows.jsonl")


def test_a_dataset_that_the_hub_library_can_load_is_streamed(tmp_path):
    (tmp_path / "data/python").mkdir(parents=True)
    pq.write_table(pa.table({"content": ["x = 1", "y = 2"], "path": ["a.py", "b.py"]}), tmp_path / "data/python/train.parquet")
    files = read("huggingface", tmp_path, data_dir="data/python")
    assert {path: file.text for path, file in files.items()} == {"a.py": "x = 1", "b.py": "y = 2"}
    with pytest.raises(InputError, match="'mine'.*cannot be read"):
        read("huggingface", tmp_path / "no-such-dataset")


def test_a_dataset_that_was_saved_to_disk_is_read_too(tmp_path):
    rows = Dataset.from_dict({"content": ["x = 1"], "path": ["a.py"]})
    rows.save_to_disk(str(tmp_path / "one"))
    DatasetDict(train=rows).save_to_disk(str(tmp_path / "splits"))
    for name in ("one", "splits"):
        assert {path: file.text for path, file in read("huggingface", tmp_path / name).items()} == {"a.py": "x = 1"}


def test_an_empty_or_missing_source_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match="source 'mine': no source file in"):
        read("folder", tmp_path)
    with pytest.raises(InputError, match="source 'mine'.*no such file or folder"):
        read("folder", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="source 'mine': kind parquet needs `path`"):
        read("parquet")
    (tmp_path / "readme.md").write_text("no code")
    with pytest.raises(InputError, match="neither a folder, a .py file nor an archive"):
        read("folder", tmp_path / "readme.md")
