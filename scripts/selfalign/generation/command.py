"""`selfalign forecast`."""

import argparse
from pathlib import Path


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Add the command; it sets `run`, a function of the parsed arguments."""
    forecast = subparsers.add_parser("forecast", help="what the model steps of a run will take: tokens, hours, cost, from a sample of its functions")
    forecast.add_argument("--configfile", default="config.yaml", metavar="FILE", help="the run's config (config.yaml)")
    forecast.add_argument("--rows", type=int, default=64, help="functions of the sample (64)")
    forecast.set_defaults(run=run_forecast)


def run_forecast(arguments: argparse.Namespace) -> None:
    """Run the sample through the model steps and print what the run will take."""
    import pyarrow as pa
    import yaml

    from selfalign.data.config import load_config
    from selfalign.data.errors import ConfigError, InputError
    from selfalign.data.files import read_shard
    from selfalign.generation.engines import open_engine
    from selfalign.generation.fewshot import load_fewshot
    from selfalign.generation.forecast import STEPS, forecast, render

    try:
        raw = yaml.safe_load(Path(arguments.configfile).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{arguments.configfile}: cannot be read as a config ({' '.join(str(error).split())})") from error
    cfg = load_config(raw)
    folder = Path(cfg["results_dir"]) / "functions"
    files = sorted(folder.glob("*.parquet"))
    if not files:
        target = f"snakemake {folder}/0.parquet --configfile {arguments.configfile}"
        raise InputError(f"{folder}: no functions yet; make them first, which needs no model: {target}")
    functions = pa.concat_tables(read_shard(path) for path in files)
    if arguments.rows < 1 or not functions.num_rows:
        raise InputError(f"a forecast needs at least one function; there are {functions.num_rows} in {folder}, and --rows is {arguments.rows}")
    # An id is a hash: the rows with the smallest ones are a random sample, and the same one next time.
    sample = functions.sort_by("id").slice(0, arguments.rows)
    total = round(functions.num_rows * cfg["shards"] / len(files))
    expected = f" (expected from {len(files)} of {cfg['shards']} shards)" if len(files) < cfg["shards"] else ""
    print(f"{sample.num_rows:,} of {total:,} functions{expected}")
    engine = open_engine(cfg["model"], cfg["engine"], None)
    try:
        found, loading = forecast(cfg, sample, total, load_fewshot(cfg["fewshot"]), engine)
    finally:
        engine.close()
    print(render(found, loading, cfg["shards"] * len(STEPS), cfg["engine"]["batch_size"]))
