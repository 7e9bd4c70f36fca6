# From passing responses to the final dataset: choice, near-dedup in three passes, variation of form.

# The choice by consensus runs responses against each other's tests.
CROSS_EXECUTION = ["execution"] if CONFIG["selection"]["policy"] == "consensus" else []
CROSS_EXECUTION_MB = CONFIG["execution"]["memory_mb"] * CONFIG["execution"]["workers"] if CROSS_EXECUTION else 0

# What the variation of form reads.
FORM = [f"selection.{key}" for key in ("keep_explanation", "keep_reasoning", "append_tests")]


rule choose_responses:
    input:
        executed=f"{RESULTS}/executed/{{s}}.parquet",
        instructions=f"{RESULTS}/instructions/{{s}}.parquet",
        benchmarks=benchmark_files(*EVALUATED, *EXTRA),
    output:
        candidates=f"{RESULTS}/candidates/{{s}}.parquet",
        dropped=f"{RESULTS}/dropped/candidates/{{s}}.parquet",
        stats=f"{RESULTS}/stats/choose_responses/{{s}}.json",
    log:
        f"{RESULTS}/logs/choose_responses/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/choose_responses/{{s}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: CONFIG["execution"]["workers"] if CROSS_EXECUTION else 1
    resources:
        mem_mb=memory(400 + CROSS_EXECUTION_MB, 40),
        runtime=minutes(5, 2),
        disk_mb=disk(100),
    params:
        cfg=cfg("selection.policy", "decontamination", "seed", *CROSS_EXECUTION),
        cache_dir=CACHE,
        sources=sources("choose_responses"),
    message:
        "Choosing among passing responses, shard {wildcards.s}"
    script:
        "../scripts/choose_responses.py"


# Exact copies go before near-dedup, so that none of them stands for another row.
rule match_candidates:
    input:
        candidates=shards("candidates"),
    output:
        copies=f"{RESULTS}/dedup/copies.parquet",
        stats=f"{RESULTS}/stats/match_candidates/all.json",
    log:
        f"{RESULTS}/logs/match_candidates/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/match_candidates/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 20),
        runtime=minutes(5, 0.2),
        disk_mb=disk(100),
    params:
        sources=sources("match_candidates"),
    message:
        "Finding candidates that repeat another one"
    script:
        "../scripts/match_candidates.py"


rule sign_candidates:
    input:
        candidates=f"{RESULTS}/candidates/{{s}}.parquet",
    output:
        **{part: f"{RESULTS}/dedup/{part}/signatures/{{s}}.parquet" for part in PARTS},
        stats=f"{RESULTS}/stats/sign_candidates/{{s}}.json",
    log:
        f"{RESULTS}/logs/sign_candidates/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sign_candidates/{{s}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 60),
        runtime=minutes(5, 2),
        disk_mb=disk(100, 20),
    params:
        cfg=cfg("selection.near_dedup.ngram", "selection.near_dedup.permutations"),
        sources=sources("sign_candidates"),
    message:
        "Signing candidates for near-dedup, shard {wildcards.s}"
    script:
        "../scripts/sign_candidates.py"


rule band_candidates:
    input:
        **{part: f"{RESULTS}/dedup/{part}/signatures/{{s}}.parquet" for part in PARTS},
    output:
        **{part: f"{RESULTS}/dedup/{part}/bands/{{s}}.parquet" for part in PARTS},
        stats=f"{RESULTS}/stats/band_candidates/{{s}}.json",
    log:
        f"{RESULTS}/logs/band_candidates/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/band_candidates/{{s}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 4),
        runtime=minutes(5, 1),
        disk_mb=disk(100),
    params:
        cfg=cfg("selection.near_dedup.threshold", "selection.near_dedup.permutations", "selection.near_dedup.verify"),
        parts=PARTS,
        sources=sources("band_candidates"),
    message:
        "Banding candidates for near-dedup, shard {wildcards.s}"
    script:
        "../scripts/band_candidates.py"


# One pass looks only at what the passes before it left.
rule link_candidates:
    input:
        bands=lambda wildcards: shards(f"dedup/{wildcards.part}/bands"),
        candidates=shards("candidates") if compares_texts("selection") else [],
        copies=f"{RESULTS}/dedup/copies.parquet",
        earlier=lambda wildcards: [path for part in PARTS[: PARTS.index(wildcards.part)] for path in shards(f"dedup/{part}/clusters")],
    output:
        links=f"{RESULTS}/dedup/{{part}}/links/{{g}}.parquet",
        stats=f"{RESULTS}/stats/link_candidates/{{part}}.{{g}}.json",
    log:
        f"{RESULTS}/logs/link_candidates/{{part}}.{{g}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/link_candidates/{{part}}.{{g}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 3),
        runtime=minutes(10, 0.1),
        disk_mb=disk(500, 4),
    params:
        cfg=cfg("selection.near_dedup"),
        groups=LINK_GROUPS,
        sources=sources("link_candidates"),
    message:
        "Comparing candidates that share a band by {wildcards.part}, group {wildcards.g}"
    script:
        "../scripts/link_candidates.py"


rule cluster_candidates:
    input:
        links=lambda wildcards: link_files(wildcards.part),
    output:
        clusters=shards("dedup/{part}/clusters"),
        stats=f"{RESULTS}/stats/cluster_candidates/{{part}}.json",
    log:
        f"{RESULTS}/logs/cluster_candidates/{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/cluster_candidates/{{part}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 20),
        runtime=minutes(10, 0.1),
        disk_mb=disk(100),
    params:
        sources=sources("cluster_candidates"),
    message:
        "Finding near-duplicates by {wildcards.part}"
    script:
        "../scripts/cluster_candidates.py"


rule select_dataset:
    input:
        **{part: shards(f"dedup/{part}/clusters") for part in PARTS},
        candidates=shards("candidates"),
        instructions=shards("instructions"),
        concepts=shards("concepts"),
        seeds=shards("seeds"),
        copies=f"{RESULTS}/dedup/copies.parquet",
        # Read only if no row is left, to say where they went.
        dropped=[path for dataset in MADE if dataset != "dataset" for path in dropped_files(dataset)],
    output:
        dataset=f"{RESULTS}/dataset/train.parquet",
        dropped=f"{RESULTS}/dropped/dataset/train.parquet",
        stats=f"{RESULTS}/stats/select_dataset/all.json",
    log:
        f"{RESULTS}/logs/select_dataset/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/select_dataset/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(500, 20),
        runtime=minutes(10, 0.2),
        disk_mb=disk(500),
    params:
        cfg=cfg(*FORM, "seed"),
        parts=PARTS,
        sources=sources("select_dataset"),
    message:
        "Selecting the final dataset"
    script:
        "../scripts/select_dataset.py"
