"""The openai engine: any server that speaks /v1/completions (vLLM's own, llama.cpp, SGLang, TGI).

One HTTP request per row, so that nothing can be attributed to another row; `batch_size` of them are in flight. What may pass by
itself (no connection, a timeout, 429, 5xx, an answer that is no completion) is tried again, later each time; a row whose
attempts are used up is a failed completion. Once a batch of rows in a row found no server, the rest has one attempt each, so that a server
that has died does not hold up thousands of rows. The key, if the server wants one, is in the environment variable OPENAI_API_KEY.
"""

import asyncio
import hashlib
import math
import os
import random
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2

from selfalign.data.errors import EngineError
from selfalign.generation.engines.base import Completion, Request
from selfalign.generation.engines.models import model_digest

_BACKOFF_SECONDS = 0.5  # before the second attempt; doubled for each one more, up to the longest
_LONGEST_BACKOFF_SECONDS = 30.0
_TOP_TOKENS = 20  # log-probabilities asked for; vLLM gives no more by default
_TOO_LONG = re.compile(r"context (length|size|window)|maximum.{0,20} length|too long|too large|exceed", re.IGNORECASE)


class _Retry(Exception):
    """An answer that may be better next time; `wait` is how long the server asks to wait, in seconds."""

    def __init__(self, detail: str, wait: float = 0.0):
        super().__init__(detail)
        self.wait = wait


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
        key = os.environ.get("OPENAI_API_KEY")
        # A proxy is not asked for a server of this machine.
        local = urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")
        self._client = {"timeout": engine["timeout"], "headers": {"Authorization": f"Bearer {key}"} if key else {}, "trust_env": not local}
        self._echo = True  # whether the server gives log-probabilities of a prompt's tokens, as far as is known
        self.gpus = 0
        self._unreachable = 0  # rows in a row that found no server in all their attempts
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
        detail, reached, attempts = "", False, 1 if self._unreachable >= self.in_flight else self.attempts
        for attempt in range(attempts):
            try:
                answer = await client.post(f"{self.url}/completions", json=body)
                reached, self._unreachable = True, 0
                return read(request, answer)
            except _Retry as error:
                detail, wait = str(error), error.wait
            except httpx2.RequestError as error:
                detail, wait = f"{type(error).__name__}: {error}".rstrip(": "), 0.0
            if attempt + 1 < attempts:
                await self._pause(attempt, wait)
        self._unreachable += not reached
        return Completion(request.id, "", "failed", f"{detail} ({attempts} attempts)")

    async def _pause(self, attempt: int, wait: float) -> None:
        # Spread out, so that rows which failed together do not come back together.
        pause = min(self.backoff * 2**attempt, _LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)
        await asyncio.sleep(max(pause, min(wait, _LONGEST_BACKOFF_SECONDS)))

    def _read(self, request: Request, answer: Any) -> Completion:
        """The completion in a server's answer."""
        status, said = answer.status_code, " ".join(answer.text.split())[:200]
        if status == 429 or status >= 500:
            wait = answer.headers.get("retry-after", "")
            raise _Retry(f"HTTP {status}: {said}", float(wait) if wait.isdigit() else 0.0)
        if status in (401, 403):
            raise EngineError(f"{self.url}: HTTP {status}: the server wants another key; set OPENAI_API_KEY")
        if status == 404:
            raise EngineError(f"{self.url}: HTTP 404: {said}; check engine.url and model.path ({self.model})")
        if status in (400, 413, 422) and _TOO_LONG.search(said):
            return Completion(request.id, "", "prompt_too_long", said)
        if status != 200:
            return Completion(request.id, "", "failed", f"HTTP {status}: {said}")
        try:
            data = answer.json()
            (choice,) = data["choices"]
            text, reason = choice["text"], choice["finish_reason"]
            if not isinstance(text, str) or not isinstance(reason, str) or reason in ("abort", "error"):
                raise ValueError(f"finish_reason {reason!r}")
            logprobs = _choice_logprobs(choice.get("logprobs"), request.choices)
            usage = data.get("usage") or {}
            prompt_tokens = int(usage.get("prompt_tokens") or 0)
            cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
            output_tokens = int(usage.get("completion_tokens") or 0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _Retry(f"no completion in the answer ({type(error).__name__}: {error}): {said}") from error
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
                if attempt + 1 < self.attempts:
                    await self._pause(attempt, 0.0)
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


def _echoed(start: int, request: Request, answer: Any) -> Completion:
    """The log-probability of what follows the first `start` characters of a prompt, of its own tokens alone; none if the answer does not tell."""
    nothing = Completion(request.id, "", "stop")
    if answer.status_code == 429 or answer.status_code in (500, 502, 503, 504):
        raise _Retry(f"HTTP {answer.status_code}: {' '.join(answer.text.split())[:200]}")
    try:
        data = answer.json()
        (choice,) = data["choices"]
        tokens = int(data["usage"]["prompt_tokens"])
        offsets, values = choice["logprobs"]["text_offset"][:tokens], choice["logprobs"]["token_logprobs"][:tokens]
        own = [float(value) for offset, value in zip(offsets, values, strict=True) if offset >= start]
    except (ValueError, KeyError, TypeError):
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
