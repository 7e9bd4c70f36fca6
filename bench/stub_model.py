"""A made-up model behind an HTTP server, and made-up functions for it: what needs the workflow but no model (bench_scale.py, tests/slurm).

The same prompt and seed always give the same answer. One response in five passes its tests, as of the published ones (500 k of 2.4 M).
"""

import hashlib
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSING = 5


def words(seed: object, count: int) -> list[str]:
    """Pseudo-words, always the same for a seed."""
    draw = random.Random(str(seed))
    return ["".join(draw.choice("bcdfghklmnprstvz") + draw.choice("aeiou") for _ in range(3)) for _ in range(count)]


def function(i: int, good: bool) -> str:
    """Function number `i`, of a dozen lines; one that is not good has a word that the filters forbid."""
    name, *names = words(i, 30)
    doc = f"{' '.join(names[:12])}{'' if good else ' todo'}."
    lines = "".join(
        f"    {names[j]} = [{names[j + 8]} * {j + i % 7} for {names[j + 8]} in {names[20]} if {names[j + 8]} != {i % 1000}]\n" for j in range(8)
    )
    return f'def {name}({names[20]}):\n    """{doc}"""\n{lines}    return {names[0]} + {names[7]}\n'


def answer(body: dict) -> tuple[str, int]:
    """(completion, its tokens) to a prompt of any of the four steps."""
    key = hashlib.sha256(f"{body['prompt'][-400:]}{body['seed']}".encode()).hexdigest()
    number = int(key[:8], 16)
    step = body["prompt"].rstrip().rpartition("[")[2]
    if step.startswith("Concepts]"):
        return ", ".join(words(key, 6)), 40
    if step.startswith("Instruction]"):
        return f"Write a function {words(key, 1)[0]} that returns the sum of a list plus {number}. {' '.join(words(key, 60))}.", 120
    name, *rest = words(key, 120)
    code = f"def {name}(values):\n    total = {number}\n    for value in values:\n        total += value\n    return total\n"
    expected = number + 6 + (0 if number % PASSING == 0 else 1)
    tests = f"assert {name}([1, 2, 3]) == {expected}\nassert {name}([]) == {number}\n"
    parts = {"Reasoning": " ".join(rest[:60]), "Implementation": f"```python\n{code}```", "Explanation": " ".join(rest[60:])}
    return "\n\n".join(f"[{head}]\n{text}" for head, text in {**parts, "Tests": f"```python\n{tests}```"}.items()), 450


class Stub(BaseHTTPRequestHandler):
    """A server that speaks /v1/completions and answers at once."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.send({"data": [{"id": "stub"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        choice = {"text": " Yes", "finish_reason": "length", "logprobs": {"top_logprobs": [{"Yes": -0.1, " Yes": -0.1, "No": -2.5, " No": -2.5}]}}
        tokens = 1
        if not body.get("logprobs"):
            text, tokens = answer(body)
            choice = {"text": text, "finish_reason": "stop"}
        self.send({"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"]) // 4, "completion_tokens": tokens}})


@contextmanager
def serving() -> Iterator[str]:
    """The server's address, up to and including /v1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
