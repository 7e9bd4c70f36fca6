# Scores of the base and of the tuned model, and the comparison of training on passing, random and failing responses.


# A benchmark that lies at an address, as a file here.
rule fetch_benchmark:
    output:
        data=f"{RESULTS}/fetched/{{benchmark}}.jsonl",
        stats=f"{RESULTS}/stats/fetch_benchmark/{{benchmark}}.json",
    log:
        f"{RESULTS}/logs/fetch_benchmark/{{benchmark}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_benchmark/{{benchmark}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400),
        runtime=15,
    params:
        source=fetched_from,
        sources=sources("fetch_benchmark"),
    message:
        "Fetching benchmark {wildcards.benchmark}"
    script:
        "../scripts/fetch_benchmark.py"


rule evaluate_model:
    input:
        data=lambda wildcards: benchmark_files(wildcards.benchmark),
        model=lambda wildcards: [ancient(f"{RESULTS}/model")] if wildcards.which == "tuned" else [],
        weights=lambda wildcards: [f"{RESULTS}/training/weights.json"] if wildcards.which == "tuned" else [],
        base=lambda wildcards: model_files() if wildcards.which == "base" else [],
    output:
        scores=report(
            f"{RESULTS}/evaluation/{{benchmark}}.{{which}}.json",
            caption="captions/scores.rst",
            category="Scores",
            subcategory="{benchmark}",
            labels={"model": "{which}"},
        ),
        stats=f"{RESULTS}/stats/evaluate_model/{{benchmark}}.{{which}}.json",
    log:
        f"{RESULTS}/logs/evaluate_model/{{benchmark}}.{{which}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_model/{{benchmark}}.{{which}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: max(CONFIG["engine"]["threads"], CONFIG["execution"]["workers"])
    resources:
        mem_mb=engine_memory(1500 + CONFIG["execution"]["memory_mb"] * CONFIG["execution"]["workers"]),
        runtime=minutes(120),
        disk_mb=disk(500),
        gpu=ENGINE_GPUS,
    params:
        cfg=evaluation_cfg,
        cache_dir=CACHE,
        sources=sources("evaluate_model"),
    message:
        "Evaluating the {wildcards.which} model on {wildcards.benchmark}"
    script:
        "../scripts/evaluate_model.py"


rule tabulate_scores:
    input:
        evaluation=evaluations(),
    output:
        table=f"{RESULTS}/evaluation/scores.md",
    log:
        f"{RESULTS}/logs/tabulate_scores/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_scores/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(300),
        runtime=minutes(10),
    params:
        sources=sources("tabulate_scores"),
    message:
        "Scores beside the published ones"
    script:
        "../scripts/tabulate_scores.py"


rule ablate:
    input:
        instructions=shards("instructions"),
        responses=shards("responses"),
        executed=shards("executed"),
        dropped=shards("dropped/executed"),
        benchmarks=benchmark_files(*EVALUATED),
        base=model_files(),
    output:
        ablation=f"{RESULTS}/ablation.json",
        stats=f"{RESULTS}/stats/ablate/all.json",
    log:
        f"{RESULTS}/logs/ablate/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/ablate/all.tsv"
    conda:
        "../envs/model.yaml"
    threads: max(CONFIG["training"]["threads"] * CONFIG["training"]["processes"], CONFIG["engine"]["threads"])
    resources:
        mem_mb=training_memory(1500 + CONFIG["execution"]["memory_mb"]),
        runtime=minutes(720),
        disk_mb=disk(2000 + 40 * MODEL_MB),
        gpu=max(ENGINE_GPUS, TRAINING_GPUS),
    params:
        cfg=cfg("model", "engine", "execution", "training", "evaluation", *FORM, "decontamination.ngram", "ablation", "seed"),
        data=[benchmark_files(name) for name in EVALUATED],
        cache_dir=CACHE,
        sources=sources("ablate"),
    message:
        "Comparing training on passing, random and failing responses"
    script:
        "../scripts/ablate.py"
