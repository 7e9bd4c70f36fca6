# The base model, fine-tuned on the final dataset.


rule train_model:
    input:
        dataset=f"{RESULTS}/dataset/train.parquet",
        base=model_files(),
    output:
        model=directory(f"{RESULTS}/model"),
        # Snakemake does not look into folders: by this file a model that was trained again and is the same is known to be so.
        weights=f"{RESULTS}/training/weights.json",
        loss=report(
            f"{RESULTS}/training/loss.csv",
            caption="captions/loss.rst",
            category="Training",
            labels={"what": "loss by optimizer step"},
        ),
        stats=f"{RESULTS}/stats/train_model/all.json",
    log:
        f"{RESULTS}/logs/train_model/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_model/all.tsv"
    conda:
        "../envs/model.yaml"
    threads: CONFIG["training"]["threads"] * CONFIG["training"]["processes"]
    resources:
        mem_mb=training_memory(1500),
        runtime=training_minutes,
        disk_mb=disk(1000 + 12 * MODEL_MB),
        gpu=TRAINING_GPUS,
    params:
        cfg=cfg("model", "training", "sources", "seed"),
        cache_dir=CACHE,
        sources=sources("train_model"),
    message:
        "Fine-tuning the base model on the final dataset"
    script:
        "../scripts/train_model.py"
