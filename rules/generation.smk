# The four model steps, each preceded by its few-shot draws.


rule draw_prompts:
    input:
        fewshot=ancient(CONFIG["fewshot"]),  # its content is in the params
        model=model_files() if CONFIG["model"]["chat"] else [],
    output:
        prompts=f"{RESULTS}/prompts/{{step}}.json",
        stats=f"{RESULTS}/stats/draw_prompts/{{step}}.json",
    log:
        f"{RESULTS}/logs/draw_prompts/{{step}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_prompts/{{step}}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(200),
        runtime=5,
    params:
        # The model only where its chat template makes the prompts.
        cfg=lambda wildcards: cfg("seed", *examples_of(wildcards.step), *(["model"] if CONFIG["model"]["chat"] else [])),
        fewshot=lambda wildcards: fewshot_part(wildcards.step),
        sources=sources("draw_prompts"),
    message:
        "Drawing few-shot examples for {wildcards.step}"
    script:
        "../scripts/draw_prompts.py"


rule judge_seeds:
    input:
        functions=f"{RESULTS}/functions/{{s}}.parquet",
        prompts=f"{RESULTS}/prompts/judge.json",
        model=model_files(),
    output:
        seeds=f"{RESULTS}/seeds/{{s}}.parquet",
        dropped=f"{RESULTS}/dropped/seeds/{{s}}.parquet",
        stats=f"{RESULTS}/stats/judge_seeds/{{s}}.json",
    log:
        f"{RESULTS}/logs/judge_seeds/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_seeds/{{s}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: CONFIG["engine"]["threads"]
    resources:
        mem_mb=engine_memory(1500),
        runtime=engine_minutes("judge", "functions"),
        disk_mb=disk(500, 10),
        gpu=ENGINE_GPUS,
    params:
        cfg=cfg("model", "engine", "judge", "judge_threshold", "seed"),
        cache_dir=CACHE,
        sources=sources("judge_seeds"),
    message:
        "Judging functions as seeds, shard {wildcards.s}"
    script:
        "../scripts/judge_seeds.py"


rule extract_concepts:
    input:
        seeds=f"{RESULTS}/seeds/{{s}}.parquet",
        prompts=f"{RESULTS}/prompts/concepts.json",
        model=model_files(),
    output:
        concepts=f"{RESULTS}/concepts/{{s}}.parquet",
        dropped=f"{RESULTS}/dropped/concepts/{{s}}.parquet",
        stats=f"{RESULTS}/stats/extract_concepts/{{s}}.json",
    log:
        f"{RESULTS}/logs/extract_concepts/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_concepts/{{s}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: CONFIG["engine"]["threads"]
    resources:
        mem_mb=engine_memory(1500),
        runtime=engine_minutes("concepts", "seeds"),
        disk_mb=disk(500, 10),
        gpu=ENGINE_GPUS,
    params:
        cfg=cfg("model", "engine", "concepts", "seed"),
        cache_dir=CACHE,
        sources=sources("extract_concepts"),
    message:
        "Extracting concepts from seeds, shard {wildcards.s}"
    script:
        "../scripts/extract_concepts.py"


rule write_instructions:
    input:
        concepts=f"{RESULTS}/concepts/{{s}}.parquet",
        prompts=f"{RESULTS}/prompts/instructions.json",
        model=model_files(),
    output:
        instructions=f"{RESULTS}/instructions/{{s}}.parquet",
        dropped=f"{RESULTS}/dropped/instructions/{{s}}.parquet",
        stats=f"{RESULTS}/stats/write_instructions/{{s}}.json",
    log:
        f"{RESULTS}/logs/write_instructions/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_instructions/{{s}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: CONFIG["engine"]["threads"]
    resources:
        mem_mb=engine_memory(1500),
        runtime=engine_minutes("instructions", "concepts"),
        disk_mb=disk(500, 10),
        gpu=ENGINE_GPUS,
    params:
        cfg=cfg("model", "engine", "instructions", "categories", "difficulties", "seed"),
        cache_dir=CACHE,
        sources=sources("write_instructions"),
    message:
        "Writing instructions from concepts, shard {wildcards.s}"
    script:
        "../scripts/write_instructions.py"


rule write_responses:
    input:
        instructions=f"{RESULTS}/instructions/{{s}}.parquet",
        prompts=f"{RESULTS}/prompts/responses.json",
        model=model_files(),
    output:
        responses=f"{RESULTS}/responses/{{s}}.parquet",
        dropped=f"{RESULTS}/dropped/responses/{{s}}.parquet",
        stats=f"{RESULTS}/stats/write_responses/{{s}}.json",
    log:
        f"{RESULTS}/logs/write_responses/{{s}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_responses/{{s}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: CONFIG["engine"]["threads"]
    resources:
        mem_mb=engine_memory(1500),
        runtime=engine_minutes("responses", "instructions"),
        disk_mb=disk(500, 10),
        gpu=ENGINE_GPUS,
    params:
        cfg=cfg("model", "engine", "responses", "seed"),
        cache_dir=CACHE,
        sources=sources("write_responses"),
    message:
        "Writing responses to instructions, shard {wildcards.s}"
    script:
        "../scripts/write_responses.py"
