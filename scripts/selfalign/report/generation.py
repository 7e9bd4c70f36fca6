"""What generation cost, per step and per accepted row: the figure to compare models, engines and few-shot settings by."""

from typing import Any

STEPS = {"judge_seeds": "seeds", "extract_concepts": "concepts", "write_instructions": "instructions", "write_responses": "responses"}
_TOKENS = ("requests", "prompt_tokens", "computed_tokens", "output_tokens")


def generation_costs(steps: list[dict[str, Any]], prices: dict[str, float]) -> dict[str, dict[str, Any]]:
    """By step, and in `total` for the run. `steps` are those of the summary with their cost; `prices` the config's.

    Counts are of all requests: what the rows took, whenever it was computed. seconds, gpu_hours, tokens_per_second (output) and cost (in
    the unit of the prices; None without prices) are of this run's jobs, in which answers from the request cache cost nothing.
    tokens_per_row: prompt tokens that were computed and output tokens, for each row that was kept; of the total, for each response.
    """
    table = {
        step["step"]: _costs(step["cost"], step["kept"], prices) for step in steps if "requests" in step.get("cost", {}) and step["step"] in STEPS
    }
    if table:
        last = max((step for step in steps if step["step"] in table), key=lambda step: list(STEPS).index(step["step"]))
        costs = [step["cost"] for step in steps if step["step"] in table]
        added: dict[str, Any] = {name: sum(cost.get(name, 0) for cost in costs) for name in (*_TOKENS, "engine_seconds", "gpu_hours")}
        added["cached"] = {name: sum(cost.get("cached", {}).get(name, 0) for cost in costs) for name in _TOKENS}
        table["total"] = _costs(added, last["kept"], prices)
    return table


def _costs(cost: dict[str, Any], kept: int, prices: dict[str, float]) -> dict[str, Any]:
    cached = cost.get("cached", {})
    asked = {name: cost[name] - cached.get(name, 0) for name in _TOKENS}  # of the engine, in this run
    seconds, hours = cost.get("engine_seconds", 0.0), cost.get("gpu_hours", 0.0)
    spent = hours * prices["gpu_hour"] + (asked["prompt_tokens"] * prices["prompt_tokens"] + asked["output_tokens"] * prices["output_tokens"]) / 1e6
    return {
        **{name: cost[name] for name in _TOKENS},
        "cached_requests": cached.get("requests", 0),
        "kept": kept,
        "tokens_per_row": round((cost["computed_tokens"] + cost["output_tokens"]) / kept, 1) if kept else None,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(asked["output_tokens"] / seconds, 1) if seconds and asked["output_tokens"] else None,
        "gpu_hours": round(hours, 4),
        "cost": round(spent, 4) if any(prices.values()) else None,
    }
