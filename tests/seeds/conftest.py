import pytest

SOURCE = {"name": "mine", "kind": "folder", "packages": [], "data_dir": "", "split": "train", "licence": "MIT", "limit": 0}


@pytest.fixture
def folder(tmp_path):
    """Write files (path -> text or bytes) into a folder of their own and get the source that reads it."""

    def write(files, name="mine", **more):
        root = tmp_path / f"source-{name}"
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        return {**SOURCE, "name": name, "path": str(root), **more}

    return write
