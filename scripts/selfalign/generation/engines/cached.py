"""An engine with the request cache in front of it, and the count of what its completions cost."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from selfalign.data.cache import RowCache
from selfalign.generation.engines.base import Completion, Engine, Request, Usage


class CachedEngine:
    """Answers from `cache` what it has, and asks `engine` for the rest. Failed completions are never kept."""

    def __init__(self, engine: Engine, cache: RowCache | None):
        self.engine = engine
        self.cache = cache
        self.fingerprint = engine.fingerprint
        self.usage = Usage()
        self.prefixes: Counter[str] = Counter()  # requests by shared prefix

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """One completion per request: first those from the cache, then the others as they finish."""
        self.prefixes.update(request.prefix for request in requests)
        if self.cache is None:
            yield from self._counted(self.engine.complete(requests))
            return
        keys = {request.id: request_key(request) for request in requests}
        found = self.cache.lookup(keys.values())
        yield from self._counted(_restored(request.id, found[keys[request.id]]) for request in requests if keys[request.id] in found)
        missing = [request for request in requests if keys[request.id] not in found]
        for completion in self._counted(self.engine.complete(missing)):
            if completion.finish_reason != "failed":
                value = asdict(completion)
                del value["id"], value["cached"]
                self.cache.put(keys[completion.id], value)
            yield completion

    @property
    def gpus(self) -> int:
        """GPUs that the engine occupies."""
        return self.engine.gpus

    def close(self) -> None:
        """Close the engine and the cache."""
        self.engine.close()
        if self.cache is not None:
            self.cache.close()

    def _counted(self, completions: Iterator[Completion]) -> Iterator[Completion]:
        for completion in completions:
            self.usage.add(completion)
            yield completion


def request_key(request: Request) -> bytes:
    """32 bytes that stand for everything in a request that determines its completion: all but the row's id."""
    value = asdict(request)
    del value["id"]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


def _restored(row: str, value: dict) -> Completion:
    return Completion(id=row, **{**value, "logprobs": tuple(value["logprobs"])}, cached=True)
