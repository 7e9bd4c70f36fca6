"""Engines: whatever makes completions, behind one interface."""

from pathlib import Path

from selfalign.data.cache import RowCache
from selfalign.data.errors import ConfigError
from selfalign.generation.engines.base import Completion, Engine, Request, Usage
from selfalign.generation.engines.cached import CachedEngine

__all__ = ["CachedEngine", "Completion", "Engine", "Request", "Usage", "open_engine"]


def open_engine(model: dict, engine: dict, cache_dir: str | None) -> CachedEngine:
    """The engine that the config's parts `model` and `engine` describe, with the request cache in `cache_dir` (None for none) in front.

    Its `usage` counts what its completions cost.
    """
    # Imported here: each kind has packages of its own that take seconds to import, or may be missing.
    if engine["kind"] == "transformers":
        from selfalign.generation.engines.transformers import TransformersEngine as Kind
    elif engine["kind"] == "vllm":
        from selfalign.generation.engines.vllm import VllmEngine as Kind
    elif engine["kind"] == "openai" and engine["server"]:
        from selfalign.generation.engines.served import ServedEngine as Kind
    elif engine["kind"] == "openai":
        from selfalign.generation.engines.openai import OpenAIEngine as Kind
    else:
        raise ConfigError(f"engine.kind {engine['kind']!r}: must be transformers, vllm or openai")
    opened = Kind(model, engine)
    return CachedEngine(opened, RowCache(Path(cache_dir) / "completions" / opened.fingerprint[:16]) if cache_dir else None)
