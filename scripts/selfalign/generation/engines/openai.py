"""The openai engine: any server that speaks /v1/completions (vLLM's own, llama.cpp, SGLang, TGI).

One HTTP request per row, so that nothing can be attributed to another row; `batch_size` of them are in flight. What may pass by
itself (no connection, a timeout, 5xx, an answer that is no completion) is tried again, later each time; a row whose
attempts are used up is a failed completion. 429 uses up no attempt until `timeout` seconds have gone by, and all rows wait as long as the server
asks. Once a batch of rows in a row has got nothing, the rest has one short attempt each, so that a server that has died, or hangs, does not hold up
thousands of rows. The key, if the server wants one, is in the environment variable OPENAI_API_KEY.
"""

import asyncio
import hashlib
import math
import os
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2

from selfalign.data.errors import EngineError
from selfalign.data.job import say
from selfalign.generation.engines.base import Completion, Request
from selfalign.generation.engines.models import model_digest

_BACKOFF_SECONDS = 0.5  # before the second attempt; doubled for each one more, up to the longest
_LONGEST_BACKOFF_SECONDS = 30.0
_SHORT_SECONDS = 10.0  # for an answer, once the server has given none to a whole batch
_SAY_SECONDS = 30.0  # between two lines about a server in trouble
_TOP_TOKENS = 20  # log-probabilities asked for; vLLM gives no more by default
# vLLM, SGLang, llama.cpp; text-generation-inference
_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|(maximum|model).{0,20} length|(prompt|input).{0,40}too (long|large)|max_tokens.{0,80}too large"
    r"|`?inputs`? (tokens \+|must have less)",
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")  # alone, as JSON may have them: no file takes such a text


class _Retry(Exception):
    """An answer that may be better next time. `busy`: all rows are to wait, as long as the server asks (`wait`, in seconds)."""

    def __init__(self, detail: str, wait: float = 0.0, busy: bool = False):
        super().__init__(detail)
        self.wait = wait
        self.busy = busy


class OpenAIEngine:
    """`model` and `engine` are these parts of the config; `model["path"]` is the model's name at the server `engine["url"]`.

    EngineError, in one line, if no server answers, or it does not serve that model.
    """

    def __init__(self, model: dict, engine: dict, backoff: float = _BACKOFF_SECONDS):
        if not engine["url"].startswith(("http://", "https://")):
            raise EngineError(f"engine.url {engine['url']!r}: the openai engine needs the address of a server, such as http://localhost:8000/v1")
        self.url = engine["url"].rstrip("/")
        self.model = model["path"]
        self.in_flight = engine["batch_size"]
        self.attempts = engine["retries"] + 1
        self.backoff = backoff
        self.timeout = engine["timeout"]
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key.isascii():
            raise EngineError("OPENAI_API_KEY: has characters that a key cannot have; set it again")
        # A proxy is not asked for a server of this machine.
        local = urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")
        self._client = {"timeout": self.timeout, "headers": {"Authorization": f"Bearer {key}"} if key else {}, "trust_env": not local}
        self._echo = True  # whether the server gives log-probabilities of a prompt's tokens, as far as is known
        self.gpus = 0
        self._in_vain = 0  # rows in a row that got nothing in all their attempts
        self._resume = 0.0  # time (monotonic) before which the server wants no request
        self._said = -math.inf  # when the user was last told of trouble
        served = asyncio.run(self._served())
        self.context = model["context"] or served.get("max_model_len") or 0  # 0: nobody says
        # A folder is known by its files, as far as this machine can see them: the same name may stand for another model tomorrow.
        facts = (self.model, served.get("root"), self.context, model_digest(self.model, model["revision"]))
        self.fingerprint = hashlib.sha256("\n".join(["openai 2", *map(str, facts)]).encode()).hexdigest()

    def close(self) -> None:
        """Nothing is held between calls."""

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """One completion per request, as they arrive."""
        queue = deque(requests)
        pending: set[asyncio.Task] = set()
        with asyncio.Runner() as runner:
            limits = httpx2.Limits(max_connections=self.in_flight, max_keepalive_connections=self.in_flight)
            client = httpx2.AsyncClient(limits=limits, **self._client)
            try:
                while queue or pending:
                    for task in runner.run(self._next(client, queue, pending)):
                        yield task.result()
            finally:
                for task in pending:
                    task.cancel()
                runner.run(client.aclose())

    async def _next(self, client: Any, queue: deque[Request], pending: set[asyncio.Task]) -> set[asyncio.Task]:
        """Keep requests in flight until some are done; returns these."""
        while queue and len(pending) < self.in_flight:
            pending.add(asyncio.create_task(self._completion(client, queue.popleft())))
        done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        pending -= done
        return done

    async def _completion(self, client: Any, request: Request) -> Completion:
        body = {"model": self.model, "prompt": request.prefix + request.prompt, "seed": request.seed, "n": 1}
        if request.choices:
            body |= {"max_tokens": 1, "temperature": 0.0, "logprobs": _TOP_TOKENS}
        else:
            body |= {"max_tokens": request.max_new_tokens, "temperature": request.temperature, "stop": list(request.stop)}
        done = await self._asked(client, request, body, self._read)
        if request.choices and done.finish_reason == "stop" and not done.logprobs:
            return await self._scored(client, request, done)
        return done

    async def _scored(self, client: Any, request: Request, done: Completion) -> Completion:
        """`done` with the log-probability of each whole choice, if the server can give those of a prompt's tokens (echo)."""
        prompt, logprobs = request.prefix + request.prompt, []
        for choice in request.choices if self._echo else ():
            body = {"model": self.model, "prompt": prompt + choice, "seed": request.seed, "max_tokens": 1, "temperature": 0.0}
            scored = await self._asked(client, request, {**body, "echo": True, "logprobs": 1}, partial(_echoed, len(prompt)))
            if scored.finish_reason == "failed":
                return scored
            if not scored.logprobs:
                self._echo = False
                return done
            logprobs += scored.logprobs
            done = replace(done, computed_tokens=done.computed_tokens + scored.computed_tokens)
        if not logprobs:
            return done
        best = request.choices[max(range(len(logprobs)), key=logprobs.__getitem__)]
        return replace(done, text=best, logprobs=tuple(logprobs))

    async def _asked(self, client: Any, request: Request, body: dict, read: Callable[[Request, Any], Completion]) -> Completion:
        """What `read` makes of the server's answer; a failed completion after all attempts."""
        hopeless = self._in_vain >= self.in_flight
        attempts, seconds = (1, min(self.timeout, _SHORT_SECONDS)) if hopeless else (self.attempts, self.timeout)
        tried = left = 0
        start = time.monotonic()
        while True:
            try:
                answer = await self._answer(client, body, seconds)
                done = read(request, answer)
                self._in_vain = 0
                return done
            except _Retry as error:
                tried += 1
                # Waiting for one's turn is no failure, within reason.
                left += not (error.busy and not hopeless and time.monotonic() - start < self.timeout)
                if left >= attempts:
                    self._in_vain += 1
                    return Completion(request.id, "", "failed", f"{error} ({tried} attempt{'s' if tried > 1 else ''})")
                self._tell(str(error))
                await self._pause(tried - 1, error.wait)

    async def _answer(self, client: Any, body: dict, seconds: float) -> Any:
        """The server's answer, whole within so many seconds; _Retry if there is none, or if it asks to come back later."""
        while (wait := self._resume - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        try:
            # The client's own timeout is for each piece of an answer: a server that drips would never meet it.
            async with asyncio.timeout(seconds):
                answer = await client.post(f"{self.url}/completions", json=body)
        except TimeoutError as error:
            raise _Retry(f"no whole answer within {seconds:g} s") from error
        except httpx2.RequestError as error:
            raise _Retry(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        if answer.status_code == 429 or answer.status_code >= 500 and not _TOO_LONG.search(answer.text):
            wait = min(_retry_after(answer.headers.get("retry-after", "")), self.timeout)
            self._resume = max(self._resume, time.monotonic() + wait)
            raise _Retry(f"HTTP {answer.status_code}: {_short(answer.text)}", wait, answer.status_code == 429)
        return answer

    def _tell(self, detail: str) -> None:
        """Let the user know, now and then, why nothing seems to happen."""
        if time.monotonic() - self._said >= _SAY_SECONDS:
            self._said = time.monotonic()
            say(f"{self.url}: {detail}; asking again")

    async def _pause(self, attempt: int, wait: float = 0.0) -> None:
        # Spread out, so that rows which failed together do not come back together.
        pause = min(self.backoff * 2 ** min(attempt, 16), _LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)
        await asyncio.sleep(max(pause, wait))

    def _read(self, request: Request, answer: Any) -> Completion:
        """The completion in a server's answer."""
        status, said = answer.status_code, _short(answer.text)
        if status in (401, 403):
            raise EngineError(f"{self.url}: HTTP {status}: the server wants another key; set OPENAI_API_KEY")
        if status == 404:
            raise EngineError(f"{self.url}: HTTP 404: {said}; check engine.url and model.path ({self.model})")
        if (status in (400, 413, 422) or status >= 500) and _TOO_LONG.search(answer.text):
            return Completion(request.id, "", "prompt_too_long", said)
        if status != 200:
            return Completion(request.id, "", "failed", f"HTTP {status}: {said}")
        try:
            data = answer.json()
            if "error" in data and not data.get("choices"):
                raise _Retry(f"an error in place of a completion: {said}")
            if (count := len(data["choices"])) != 1:
                raise ValueError(f"{count} choices, 1 was asked for")
            (choice,) = data["choices"]
            text, reason = choice["text"], choice["finish_reason"]
            if not isinstance(text, str) or not isinstance(reason, str) or reason in ("abort", "error", "content_filter"):
                raise ValueError(f"finish_reason {reason!r}")
            logprobs = _choice_logprobs(choice.get("logprobs"), request.choices)
            prompt_tokens, cached, output_tokens = _usage(data)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise _Retry(f"no completion in the answer ({type(error).__name__}: {error}): {said}") from error
        text = _SURROGATE.sub("\ufffd", text)
        new = 1 if request.choices else request.max_new_tokens
        # vLLM's server answers such a prompt all the same, with fewer tokens than were asked for.
        if self.context and prompt_tokens + new > self.context:
            detail = f"{prompt_tokens} prompt tokens and {new} new ones, context {self.context}"
            return Completion(request.id, "", "prompt_too_long", detail, prompt_tokens, prompt_tokens - cached, output_tokens)
        if request.choices:
            reason = "stop"
            text = request.choices[max(range(len(logprobs)), key=logprobs.__getitem__)] if logprobs else text
        # Some servers leave the stop string in.
        cuts = [at for stop in request.stop if (at := text.find(stop)) >= 0]
        text = text[: min(cuts)] if cuts else text
        finish = "length" if reason == "length" and not cuts else "stop"
        return Completion(request.id, text, finish, "", prompt_tokens, prompt_tokens - cached, output_tokens, logprobs)

    async def _served(self) -> dict:
        """What the server says about the model, nothing if it has no list of models."""
        async with httpx2.AsyncClient(**self._client) as client:
            detail = ""
            for attempt in range(self.attempts):
                try:
                    answer = await client.get(f"{self.url}/models")
                    if answer.status_code < 500:
                        break
                    detail = f"HTTP {answer.status_code}"
                except httpx2.RequestError as error:
                    detail = f"{type(error).__name__}: {error}".rstrip(": ")
                except (httpx2.InvalidURL, UnicodeError) as error:
                    raise EngineError(f"engine.url {self.url!r}: not an address ({error}); such as http://localhost:8000/v1") from error
                if attempt + 1 < self.attempts:
                    self._tell(detail)
                    await self._pause(attempt)
            else:
                raise EngineError(f"{self.url}: no server answers ({detail}); start one, or change engine.url")
        if answer.status_code in (401, 403):
            raise EngineError(f"{self.url}: HTTP {answer.status_code}: the server wants a key; set OPENAI_API_KEY")
        try:
            models = {item["id"]: item for item in answer.json()["data"]}
        except (ValueError, KeyError, TypeError):
            return {}
        if self.model not in models:
            raise EngineError(f"{self.url}: the server has no model {self.model!r}, but {', '.join(sorted(models)) or 'none'}; change model.path")
        return models[self.model]


def _short(text: str) -> str:
    """The beginning of what a server said, as one line."""
    return _SURROGATE.sub("\ufffd", " ".join(text.split())[:200])


def _retry_after(value: str) -> float:
    """Seconds to wait, of a Retry-After header: a number of seconds or a date (RFC 9110, 10.2.3). 0 for anything else."""
    try:
        return max(0.0, float(value) if value.replace(".", "", 1).isdigit() else (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _usage(data: dict) -> tuple[int, int, int]:
    """(prompt tokens, those of them that were cached, output tokens) as the server counts them; 0 where it does not."""
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counts = (usage.get("prompt_tokens"), cached, usage.get("completion_tokens"))
    prompt, cached, output = (count if isinstance(count, int) else 0 for count in counts)
    return prompt, min(cached, prompt), output


def _echoed(start: int, request: Request, answer: Any) -> Completion:
    """The log-probability of what follows the first `start` characters of a prompt, of its own tokens alone; none if the answer does not tell."""
    nothing = Completion(request.id, "", "stop")
    try:
        data = answer.json()
        (choice,) = data["choices"]
        tokens = int(data["usage"]["prompt_tokens"])
        offsets, values = choice["logprobs"]["text_offset"][:tokens], choice["logprobs"]["token_logprobs"][:tokens]
        own = [float(value) for offset, value in zip(offsets, values, strict=True) if offset >= start]
    except (ValueError, LookupError, TypeError, ArithmeticError):
        return nothing
    # Without a token that begins where the choice does, the sum would be of something else.
    return replace(nothing, computed_tokens=tokens, logprobs=(sum(own),)) if start in offsets else nothing


def _choice_logprobs(logprobs: Any, choices: tuple[str, ...]) -> tuple[float, ...]:
    """Log-probabilities of the choices' first tokens; empty if these do not tell the choices apart.

    They do not if a token that two choices begin with is likelier than those of their own, or if none is among the server's likeliest. A
    choice that is not among them gets the least of these, which its own cannot exceed.
    """
    if not choices or not logprobs:
        return ()
    if isinstance(logprobs.get("content"), list):  # llama.cpp
        top = {item["token"]: float(item["logprob"]) for item in logprobs["content"][0]["top_logprobs"]}
    else:
        top = {token: float(value) for token, value in logprobs["top_logprobs"][0].items()}
    found = []
    for choice in choices:
        begins = {token: value for token, value in top.items() if token and choice.startswith(token)}
        own = [value for token, value in begins.items() if sum(other.startswith(token) for other in choices) == 1]
        if begins and max(begins.values()) > max(own, default=-math.inf):
            return ()
        found.append(max(own, default=None))
    if all(value is None for value in found):
        return ()
    return tuple(min(top.values()) if value is None else value for value in found)
