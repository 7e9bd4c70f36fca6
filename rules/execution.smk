# Each response's implementation and tests, run together in a sandbox.


rule execute_responses:
    input:
        responses=f"{RESULTS}/responses/{{s}}.parquet",
    output:
        executed=f"{RESULTS}/executed/{{s}}.parquet",
        dropped=f"{RESULTS}/dropped/executed/{{s}}.parquet",
        stats=f"{RESULTS}/stats/execute_responses/{{s}}.json",
    log:
        f"{RESULTS}/logs/execute_responses/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/execute_responses/{{s}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: CONFIG["execution"]["workers"]
    resources:
        mem_mb=memory(500 + CONFIG["execution"]["memory_mb"] * CONFIG["execution"]["workers"], 40),
        runtime=minutes(10, 60),
        disk_mb=disk(1000, 4),
    params:
        cfg=cfg("execution"),
        cache_dir=CACHE,
        sources=sources("execute_responses"),
    message:
        "Executing responses with their tests, shard {wildcards.s}"
    script:
        "../scripts/execute_responses.py"
