"""Names that exist in every script: Snakemake defines `snakemake` before a script runs."""

from typing import Any

snakemake: Any
