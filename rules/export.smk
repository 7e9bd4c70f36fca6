# Datasets as Hugging Face dataset repositories in the published layout, and pushing them, which only happens when it is asked for.


rule export_dataset:
    input:
        rows=lambda wildcards: dataset_files(wildcards.dataset),
        seeds=lambda wildcards: ancestor_files(wildcards.dataset, "seeds"),
        concepts=lambda wildcards: ancestor_files(wildcards.dataset, "concepts"),
        instructions=lambda wildcards: ancestor_files(wildcards.dataset, "instructions"),
        dropped=lambda wildcards: dropped_since_parent(wildcards.dataset),
        prompts=lambda wildcards: prompts_of(wildcards.dataset),
        notice=f"{RESULTS}/NOTICE.txt",
    output:
        repository=directory(f"{RESULTS}/exports/{{dataset}}"),
        stats=f"{RESULTS}/stats/export_dataset/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/export_dataset/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/export_dataset/{{dataset}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(500, 40),
        runtime=minutes(20, 0.5),
    params:
        cfg=lambda wildcards: export_cfg(wildcards.dataset),
        sources=sources("export_dataset"),
    message:
        "Exporting dataset {wildcards.dataset}"
    script:
        "../scripts/export_dataset.py"


rule push_dataset:
    input:
        repository=f"{RESULTS}/exports/{{dataset}}",
    output:
        pushed=f"{RESULTS}/pushed/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/push_dataset/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/push_dataset/{{dataset}}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(400),
        runtime=60,
    params:
        cfg=cfg("hub"),
        sources=sources("push_dataset"),
    message:
        "Pushing dataset {wildcards.dataset}"
    script:
        "../scripts/push_dataset.py"
