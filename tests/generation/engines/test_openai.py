"""The openai engine against a server on loopback that fails in every way that servers do."""

import json
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from selfalign.data.errors import EngineError
from selfalign.generation.engines import Request, open_engine
from selfalign.generation.engines.openai import OpenAIEngine

MODEL = {"path": "base", "revision": "", "context": 0}


class Server(ThreadingHTTPServer):
    """Answers /v1/completions with the prompt's last word, and before that with the `faults` of that word, one per attempt."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: dict[str, list[str]] = {}
        self.attempts: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.logprobs = None
        self.echo = None  # a function: prompt -> (status, answer) to requests with echo
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status: int, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer(200, {"data": [{"id": "base", "root": "/models/base", "max_model_len": 64}]})

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body.get("echo") and server.echo:
            return self.answer(*server.echo(body["prompt"]))
        word = body["prompt"].split()[-1]
        with server.lock:
            server.bodies.append(body)
            attempt = server.attempts[word]
            server.attempts[word] += 1
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        time.sleep(0.002)
        faults = server.faults.get(word, [])
        self.respond(faults[min(attempt, len(faults) - 1)] if faults and (attempt < len(faults) or faults[-1] == "always 500") else "", word)
        with server.lock:
            server.open -= 1

    def respond(self, fault: str, word: str):
        choice = {"index": 0, "text": word, "finish_reason": "stop", "logprobs": self.server.logprobs}
        whole = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}}
        if fault == "hang":
            time.sleep(1.5)
        elif fault == "drop":
            self.close_connection = True
            self.connection.close()
        elif fault in ("500", "always 500"):
            self.answer(500, {"error": "out of order"})
        elif fault == "429":
            self.answer(429, {"error": "slow down"}, Retry_After="0")
        elif fault == "429 later":
            self.answer(429, {"error": "slow down"}, Retry_After="0.2")
        elif fault == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            for _ in range(4):
                self.wfile.write(b"x")
                time.sleep(0.4)
        elif fault == "error in 200":
            self.answer(200, {"error": {"message": "out of memory"}})
        elif fault == "no sense":
            self.answer(200, {"choices": [{**choice, "text": word + "\ud83d"}], "usage": {"prompt_tokens": "many", "completion_tokens": None}})
        elif fault == "other too long":
            self.answer(422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 64. Given: 50 `inputs` tokens and 20 `max_new_tokens`"})
        elif fault == "garbage":
            self.answer(200, b"<html>\xff no json")
        elif fault == "no choice":
            self.answer(200, {"choices": []})
        elif fault == "two choices":
            self.answer(200, {**whole, "choices": [{**choice, "text": "another"}] * 2})
        elif fault == "cut short":
            self.answer(200, {"choices": [{"text": "half"}]})
        elif fault == "context":
            self.answer(400, {"error": {"message": "This model's maximum context length is 64 tokens. However, you requested 99"}})
        elif fault == "bad request":
            self.answer(400, {"error": "no such parameter"})
        elif fault == "key":
            self.answer(401, {"error": "key"})
        elif fault == "keeps the stop":
            self.answer(200, {"choices": [{**choice, "text": word + "\n### Example 2", "finish_reason": "length"}]})
        else:
            self.answer(200, whole)


@pytest.fixture
def server():
    running = Server()
    yield running
    running.stop()


def engine_on(server, **values) -> OpenAIEngine:
    cfg = {"kind": "openai", "url": server.url, "batch_size": 6, "retries": 2, "timeout": 1.0, **values}
    return OpenAIEngine(MODEL, cfg, backoff=0.01)


def rows(count: int) -> list[Request]:
    return [Request(f"id{at}", "prefix ", f"word{at}", at, 0.7, 20, ("\n### Example",)) for at in range(count)]


def run(engine, requests):
    done = list(engine.complete(requests))
    assert sorted(c.id for c in done) == sorted(r.id for r in requests)
    return {c.id: c for c in done}


FAULTS = ("hang", "drop", "500", "429", "garbage", "no choice", "two choices", "cut short")


def test_what_may_pass_is_tried_again_and_nothing_is_misaligned(server):
    server.faults = {f"word{at}": [fault] if at % 2 else [fault, "500"] for at, fault in enumerate(FAULTS * 2)}
    done = run(engine_on(server), rows(40))
    assert {row: c.text for row, c in done.items()} == {f"id{at}": f"word{at}" for at in range(40)}
    assert {c.finish_reason for c in done.values()} == {"stop"}
    assert server.attempts["word0"] == 3
    assert server.attempts["word39"] == 1


def test_a_busy_server_uses_up_no_attempt(server):
    server.faults = {f"word{at}": ["429 later"] * 4 for at in range(6)}
    done = run(engine_on(server, retries=0, timeout=20.0), rows(12))
    assert {c.finish_reason for c in done.values()} == {"stop"}
    assert [server.attempts[f"word{at}"] for at in (0, 11)] == [5, 1]


def test_dripping_errors_and_usage_without_sense(server):
    server.faults = {"word0": ["drip"], "word1": ["error in 200"] * 3, "word2": ["no sense"], "word3": ["other too long"]}
    done = run(engine_on(server), rows(5))
    assert (done["id0"].text, server.attempts["word0"]) == ("word0", 2)
    assert done["id1"].finish_reason == "failed" and "out of memory" in done["id1"].detail
    assert (done["id2"].text, done["id2"].prompt_tokens) == ("word2\ufffd", 0)
    assert done["id3"].finish_reason == "prompt_too_long"


def test_a_row_whose_attempts_are_used_up_has_failed(server):
    server.faults = {"word3": ["always 500"], "word5": ["bad request"]}
    done = run(engine_on(server), rows(8))
    assert {row for row, c in done.items() if c.finish_reason == "failed"} == {"id3", "id5"}
    assert "HTTP 500" in done["id3"].detail
    assert "3 attempts" in done["id3"].detail
    assert "no such parameter" in done["id5"].detail
    assert server.attempts["word5"] == 1


def test_a_prompt_that_does_not_fit_is_too_long(server):
    server.faults = {"word1": ["context"]}
    done = run(engine_on(server), rows(3))
    assert done["id1"].finish_reason == "prompt_too_long"
    assert "maximum context length" in done["id1"].detail


def test_an_answer_that_could_not_have_had_all_its_tokens_is_too_long(server):
    """The server says that 64 tokens are all, and counts 9 for each prompt."""
    done = run(engine_on(server), [replace(row, max_new_tokens=55 + at) for at, row in enumerate(rows(2))])
    assert [done[row].finish_reason for row in ("id0", "id1")] == ["stop", "prompt_too_long"]
    assert done["id1"].detail == "9 prompt tokens and 56 new ones, context 64"


def test_a_bounded_number_of_requests_is_in_flight(server):
    run(engine_on(server, batch_size=3), rows(40))
    assert 2 <= server.most_open <= 3


def test_a_request_carries_what_determines_it(server):
    run(engine_on(server), rows(1))
    assert server.bodies == [
        {"model": "base", "prompt": "prefix word0", "seed": 0, "n": 1, "max_tokens": 20, "temperature": 0.7, "stop": ["\n### Example"]}
    ]


def test_tokens_are_counted_and_a_stop_string_is_cut_off(server):
    server.faults = {"word1": ["keeps the stop"]}
    done = run(engine_on(server), rows(2))
    assert (done["id0"].prompt_tokens, done["id0"].computed_tokens, done["id0"].output_tokens) == (9, 5, 2)
    assert (done["id1"].text, done["id1"].finish_reason) == ("word1", "stop")


def test_a_server_that_dies_leaves_failed_rows(server):
    engine = engine_on(server, batch_size=2)
    done = []
    for completion in engine.complete(rows(12)):
        done.append(completion)
        if len(done) == 4:
            server.stop()
            # Connections that are open would still be answered by their threads.
            server.faults = {f"word{at}": ["drop"] * 9 for at in range(12)}
    assert sorted(c.id for c in done) == sorted(r.id for r in rows(12))
    assert {c.finish_reason for c in done[-4:]} == {"failed"}


def test_the_judge_gets_log_probabilities(server):
    choices = ("Yes", "No")
    asked = [Request("a", "", "word0", 0, 0.0, 4, (), choices)]
    completions_form = {"top_logprobs": [{"Yes": -0.5, "Y": -3.0, " No": -1.0, "Nope": -4.0}]}
    llama_form = {"content": [{"top_logprobs": [{"token": "No", "logprob": -0.1}, {"token": "Yes", "logprob": -2.5}]}]}
    neither_form = {"top_logprobs": [{"maybe": -0.1}]}
    for form, expected, text in (
        (completions_form, (-0.5, -4.0), "Yes"),
        (llama_form, (-2.5, -0.1), "No"),
        (neither_form, (), "word0"),
        (None, (), "word0"),
    ):
        server.logprobs = form
        completion = run(engine_on(server), asked)["a"]
        assert (completion.logprobs, completion.text, completion.finish_reason) == (expected, text, "stop")
    assert (server.bodies[0]["max_tokens"], server.bodies[0]["logprobs"]) == (1, 20)


def echoed(prompt: str) -> tuple[int, dict]:
    """A server whose tokens are single characters, each of log-probability -1, and the one that it adds."""
    logprobs = {"text_offset": list(range(len(prompt) + 1)), "token_logprobs": [None, *[-1.0] * len(prompt)]}
    return 200, {"choices": [{"text": prompt + "!", "logprobs": logprobs}], "usage": {"prompt_tokens": len(prompt)}}


@pytest.mark.parametrize("top", [{"Yes": -0.1}, {"maybe": -0.1}])
def test_choices_that_begin_with_the_same_token_are_compared_whole(server, top):
    server.logprobs, server.echo = {"top_logprobs": [top]}, echoed
    asked = Request("a", "prefix ", "word0", 0, 0.0, 4, (), ("Yes, indeed", "Yes, no"))
    completion = run(engine_on(server), [asked])["a"]
    assert (completion.logprobs, completion.text) == ((-11.0, -7.0), "Yes, no")


def test_a_server_that_stumbles_over_a_choice_is_asked_again_or_the_row_has_failed(server):
    answers = [(500, {"error": "busy"}), (500, {"error": "busy"})]
    server.logprobs, server.echo = {"top_logprobs": [{"maybe": -0.1}]}, lambda prompt: answers.pop() if answers else echoed(prompt)
    asked = [Request("a", "", "word0", 0, 0.0, 4, (), ("Yes", "No"))]
    assert run(engine_on(server), asked)["a"].logprobs == (-3.0, -2.0)
    server.echo = lambda prompt: (500, {"error": "busy"})
    assert run(engine_on(server), asked)["a"].finish_reason == "failed", "not judged by its text for a passing fault"


def test_a_server_that_has_gone_does_not_hold_up_the_other_rows(server):
    engine = engine_on(server, batch_size=4, retries=3)
    server.stop()
    done = run(engine, rows(30))
    assert {c.finish_reason for c in done.values()} == {"failed"}
    attempts = sorted(c.detail.rpartition("(")[2] for c in done.values())
    assert attempts.count("4 attempts)") <= 8 and attempts.count("1 attempt)") >= 22


def test_no_server_no_model_no_key_are_one_clear_line(server):
    with pytest.raises(EngineError, match=r"no server answers .*engine.url"):
        engine_on(server, url="http://127.0.0.1:9/v1")
    with pytest.raises(EngineError, match="has no model 'other', but base; change model.path"):
        OpenAIEngine({**MODEL, "path": "other"}, {"url": server.url, "batch_size": 1, "retries": 1, "timeout": 1.0})
    with pytest.raises(EngineError, match="engine.url"):
        engine_on(server, url="")
    server.faults = {"word1": ["key"]}
    with pytest.raises(EngineError, match="OPENAI_API_KEY"):
        run(engine_on(server), rows(3))


def test_leaving_early_leaves_nothing_behind(server):
    engine = engine_on(server)
    for _ in engine.complete(rows(30)):
        break
    assert len(run(engine, rows(5))) == 5


def test_failed_rows_are_asked_again_and_others_are_not(server, tmp_path, engine_cfg):
    server.faults = {"word2": ["500"]}

    def once():
        engine = open_engine(MODEL, {**engine_cfg, "kind": "openai", "url": server.url, "batch_size": 6, "retries": 0}, str(tmp_path))
        done = run(engine, rows(5))
        engine.close()
        return done

    assert once()["id2"].finish_reason == "failed"
    again = once()
    assert {c.finish_reason for c in again.values()} == {"stop"}
    assert [row for row, c in again.items() if not c.cached] == ["id2"]
    assert [server.attempts[f"word{at}"] for at in range(5)] == [1, 1, 2, 1, 1]
