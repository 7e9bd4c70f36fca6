import os

from selfalign.sources.watch import files_digest


def test_what_the_reader_would_read_changes_the_digest_and_nothing_else_does(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "to{day}.py").symlink_to("nowhere.py")
    source = {"kind": "folder", "path": str(tmp_path)}
    first = files_digest(source)
    (tmp_path / "notes.txt").write_text("no source")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/b.py").write_text("")
    assert files_digest(source) == first != ""
    os.utime(tmp_path / "a.py", (1, 1))
    second = files_digest(source)
    (tmp_path / "b.py").write_text("")
    third = files_digest(source)
    (tmp_path / "b.py").unlink()
    assert second not in (first, third)
    assert files_digest(source) == second


def test_a_source_without_local_files_has_none(tmp_path):
    assert files_digest({"kind": "stdlib", "path": ""}) == files_digest({"kind": "huggingface", "path": "owner/name"}) == ""
    (tmp_path / "rows.parquet").write_text("")
    assert len({files_digest({"kind": kind, "path": str(tmp_path)}) for kind in ("folder", "parquet")}) == 2
    assert files_digest({"kind": "parquet", "path": str(tmp_path / "rows.parquet")})
