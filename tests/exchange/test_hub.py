"""Import from and push to a server that speaks as much of the Hugging Face hub's protocol as the real client asks for."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: name to files by path. One token may write."""

    repositories: dict[str, dict[str, bytes]]
    created: list[dict]

    def log_message(self, *arguments):
        pass

    def answer(self, content, status=200, headers=()):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), ("X-Repo-Commit", COMMIT), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.answer({"error": code}, status, [("X-Error-Code", code), ("X-Error-Message", code)])

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        parts = path.strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[1:3])
        if name not in self.repositories:
            return self.refuse(404, "RepoNotFound")
        files = self.repositories[name]
        if parts[0] == "datasets":
            content = files.get("/".join(parts[5:]))
            return self.refuse(404, "EntryNotFound") if content is None else self.answer(content, headers=[("ETag", f'"{hash(content)}"')])
        if len(parts) > 4 and parts[4] == "tree":
            return self.answer([{"type": "file", "path": file, "size": len(files[file]), "oid": COMMIT} for file in sorted(files)])
        self.answer({"id": name, "sha": COMMIT, "private": True, "siblings": [{"rfilename": file} for file in sorted(files)]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.partition("?")[0].strip("/").split("/")
        if self.path.startswith("/api/validate-yaml"):
            return self.answer({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != "Bearer hf_good":
            return self.refuse(401, "Unauthorized")
        if self.path.startswith("/api/repos/create"):
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            if name in self.repositories:
                return self.answer({"error": "exists", "url": name}, 409)
            self.repositories[name] = {}
            self.created.append(wanted)
            return self.answer({"url": f"https://huggingface.co/datasets/{name}"})
        name = "/".join(parts[2:4])
        if parts[4] == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self.answer({"files": files})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del self.repositories[name][value["path"]]
        self.answer({"commitUrl": f"https://huggingface.co/datasets/{name}/commit/{COMMIT}", "commitOid": COMMIT})


@pytest.fixture
def hub(tmp_path):
    """The server's repositories, and what runs Python code as a process of its own that knows this hub alone."""
    Hub.repositories, Hub.created = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(code, token="hf_good"):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": token}
        environment |= {"no_proxy": "127.0.0.1", "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr

    yield Hub.repositories, run
    server.shutdown()
    server.server_close()


READ = """
from selfalign.data.errors import InputError
from selfalign.exchange.reader import Columns, read_rows
try:
    print(sorted((row.place, row.values["content"]) for row in read_rows({address!r}, Columns({{"content": "content"}}, ["content"]))))
except InputError as error:
    print(error)
"""
PUSH = """
from selfalign.data.errors import InputError
from selfalign.exchange.push import push_dataset
try:
    print(push_dataset({folder!r}, "us/run-seeds", True))
except InputError as error:
    print(error)
"""


def test_published_dataset_is_read_from_the_hub(hub, put):
    repositories, run = hub
    train, test = (Path(put(f"{name}.parquet", [{"content": name, "id": 1}])).read_bytes() for name in ("one", "two"))
    files = {"data/train-0.parquet": train, "data/test-0.parquet": test, "README.md": b"x", "more/extra.jsonl": b'{"content": "3"}'}
    repositories["them/seeds"] = files
    assert run(READ.format(address="hf://datasets/them/seeds")) == "[('data/train-0.parquet#0', 'one')]", "of several splits train"
    assert run(READ.format(address="hf://them/seeds@main/data/test-*.parquet")) == "[('data/test-0.parquet#0', 'two')]"
    assert run(READ.format(address="hf://datasets/them/seeds/more")) == "[('more/extra.jsonl#0', '3')]"


def test_what_the_hub_has_not_is_one_line(hub):
    repositories, run = hub
    repositories["them/empty"] = {"README.md": b"x"}
    message = run(READ.format(address="hf://datasets/them/none"))
    assert message.startswith("hf://datasets/them/none: cannot be fetched (") and "\n" not in message
    assert run(READ.format(address="hf://datasets/them/empty")).startswith("hf://datasets/them/empty: no .parquet")
    assert run(READ.format(address="hf://seeds")).startswith("hf://seeds: expected hf://datasets/OWNER/NAME")


def test_push_makes_the_repository_what_the_folder_is(hub, put, tmp_path):
    repositories, run = hub
    folder = tmp_path / "exports"
    put("exports/data/train-00000-of-00002.parquet", [{"id": "a"}])
    put("exports/data/train-00001-of-00002.parquet", [{"id": "b"}])
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Seeds\n")
    (folder / ".snakemake_timestamp").write_text("")
    assert run(PUSH.format(folder=str(folder))).endswith(f"us/run-seeds/commit/{COMMIT}")
    files = repositories["us/run-seeds"]
    assert [wanted["visibility"] for wanted in Hub.created] == ["private"]
    assert set(files) == {"README.md", "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"}
    for path in (folder / "data").iterdir():
        path.unlink()
    put("exports/data/train-00000-of-00001.parquet", [{"id": "a"}, {"id": "b"}])
    assert "commit" in run(PUSH.format(folder=str(folder)))
    assert set(files) == {"README.md", "data/train-00000-of-00001.parquet"}, "shards of before are gone"
    (tmp_path / "back.parquet").write_bytes(files["data/train-00000-of-00001.parquet"])
    assert pq.read_table(tmp_path / "back.parquet")["id"].to_pylist() == ["a", "b"]
    message = run(PUSH.format(folder=str(folder)), token="hf_bad")
    assert message.startswith("us/run-seeds: cannot be pushed (") and "\n" not in message
