# From extracted functions to those that can serve as seeds: near-dedup, static filters, decontamination, type-check.

# What the filters read; near-dedup reaches them as a file.
FILTERS = [f"functions.{key}" for key in CONFIG["functions"] if key != "near_dedup"]


rule sign_functions:
    input:
        extracted=f"{RESULTS}/extracted/{{s}}.parquet",
    output:
        signatures=f"{RESULTS}/dedup/functions/signatures/{{s}}.parquet",
        stats=f"{RESULTS}/stats/sign_functions/{{s}}.json",
    log:
        f"{RESULTS}/logs/sign_functions/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sign_functions/{{s}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 60),
        runtime=minutes(5, 2),
        disk_mb=disk(100, 4),
    params:
        cfg=cfg("functions.near_dedup.ngram", "functions.near_dedup.permutations"),
        sources=sources("sign_functions"),
    message:
        "Signing functions for near-dedup, shard {wildcards.s}"
    script:
        "../scripts/sign_functions.py"


rule band_functions:
    input:
        signatures=f"{RESULTS}/dedup/functions/signatures/{{s}}.parquet",
    output:
        bands=f"{RESULTS}/dedup/functions/bands/{{s}}.parquet",
        stats=f"{RESULTS}/stats/band_functions/{{s}}.json",
    log:
        f"{RESULTS}/logs/band_functions/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/band_functions/{{s}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 4),
        runtime=minutes(5, 1),
        disk_mb=disk(100),
    params:
        cfg=cfg("functions.near_dedup.threshold", "functions.near_dedup.permutations", "functions.near_dedup.verify"),
        sources=sources("band_functions"),
    message:
        "Banding functions for near-dedup, shard {wildcards.s}"
    script:
        "../scripts/band_functions.py"


rule link_functions:
    input:
        bands=shards("dedup/functions/bands"),
        # The texts themselves only where the config asks for their comparison.
        extracted=shards("extracted") if compares_texts("functions") else [],
    output:
        links=f"{RESULTS}/dedup/functions/links/{{g}}.parquet",
        stats=f"{RESULTS}/stats/link_functions/{{g}}.json",
    log:
        f"{RESULTS}/logs/link_functions/{{g}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/link_functions/{{g}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 3),
        runtime=minutes(10, 0.1),
        disk_mb=disk(500, 4),
    params:
        cfg=cfg("functions.near_dedup"),
        groups=LINK_GROUPS,
        sources=sources("link_functions"),
    message:
        "Comparing functions that share a band, group {wildcards.g}"
    script:
        "../scripts/link_functions.py"


rule cluster_functions:
    input:
        links=link_files("functions"),
    output:
        clusters=shards("dedup/functions/clusters"),
        stats=f"{RESULTS}/stats/cluster_functions/all.json",
    log:
        f"{RESULTS}/logs/cluster_functions/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/cluster_functions/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 20),
        runtime=minutes(10, 0.1),
        disk_mb=disk(100),
    params:
        sources=sources("cluster_functions"),
    message:
        "Finding near-duplicate functions"
    script:
        "../scripts/cluster_functions.py"


rule filter_functions:
    input:
        extracted=f"{RESULTS}/extracted/{{s}}.parquet",
        clusters=f"{RESULTS}/dedup/functions/clusters/{{s}}.parquet",
        benchmarks=benchmark_files(*EVALUATED, *EXTRA),
    output:
        functions=f"{RESULTS}/functions/{{s}}.parquet",
        dropped=f"{RESULTS}/dropped/functions/{{s}}.parquet",
        stats=f"{RESULTS}/stats/filter_functions/{{s}}.json",
    log:
        f"{RESULTS}/logs/filter_functions/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/filter_functions/{{s}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(1500, 40),
        runtime=minutes(10, 30),
        disk_mb=disk(1000, 20),
    params:
        cfg=cfg(*FILTERS, "decontamination", "execution.python"),  # what its programs can import decides
        cache_dir=CACHE,
        sources=sources("filter_functions"),
    message:
        "Filtering and type-checking functions, shard {wildcards.s}"
    script:
        "../scripts/filter_functions.py"
