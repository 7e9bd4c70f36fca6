# From passing responses to the final dataset: choice, near-dedup in three passes, variation of form.


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
    resources:
        mem_mb=memory(400, 40),
        runtime=minutes(5, 2),
        disk_mb=disk(100),
    params:
        cfg=cfg("selection.policy", "decontamination", "seed"),
        sources=sources("choose_responses"),
    message:
        "Choosing among passing responses, shard {wildcards.s}"
    script:
        "../scripts/choose_responses.py"


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


# One pass looks only at what the passes before it left.
rule cluster_candidates:
    input:
        signatures=lambda wildcards: shards(f"dedup/{wildcards.part}/signatures"),
        earlier=lambda wildcards: [f"{RESULTS}/dedup/{part}/clusters.parquet" for part in PARTS[: PARTS.index(wildcards.part)]],
    output:
        clusters=f"{RESULTS}/dedup/{{part}}/clusters.parquet",
        stats=f"{RESULTS}/stats/cluster_candidates/{{part}}.json",
    log:
        f"{RESULTS}/logs/cluster_candidates/{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/cluster_candidates/{{part}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400, 6),
        runtime=minutes(10, 0.1),
        disk_mb=disk(100),
    params:
        cfg=cfg("selection.near_dedup"),
        sources=sources("cluster_candidates"),
    message:
        "Finding near-duplicates by {wildcards.part}"
    script:
        "../scripts/cluster_candidates.py"


rule select_dataset:
    input:
        candidates=shards("candidates"),
        instructions=shards("instructions"),
        concepts=shards("concepts"),
        seeds=shards("seeds"),
        clusters=[f"{RESULTS}/dedup/{part}/clusters.parquet" for part in PARTS],
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
        cfg=cfg("selection", "seed"),
        sources=sources("select_dataset"),
    message:
        "Selecting the final dataset"
    script:
        "../scripts/select_dataset.py"
