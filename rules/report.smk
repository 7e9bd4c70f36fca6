# What happened: counts, costs and scores as JSON, and a page to read.


rule summarize_run:
    input:
        kept=[file for dataset in (*SHARDED, "dataset") for file in dataset_files(dataset)],
        dropped=[file for dataset in MADE for file in dropped_files(dataset)],
        stats=run_stats(),
        loss=f"{RESULTS}/training/loss.csv",
        evaluation=evaluations(),
        model=f"{RESULTS}/model",
        notice=f"{RESULTS}/NOTICE.txt",
    output:
        summary=f"{RESULTS}/summary.json",
    log:
        f"{RESULTS}/logs/summarize_run/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarize_run/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(300, 10),
        runtime=minutes(10, 0.05),
    params:
        cfg=Compared(CONFIG),
        sources=sources("summarize_run"),
    message:
        "Summarizing the run"
    script:
        "../scripts/summarize_run.py"


rule render_report:
    input:
        summary=f"{RESULTS}/summary.json",
        kept=rules.summarize_run.input.kept,
        dropped=rules.summarize_run.input.dropped,
        loss=f"{RESULTS}/training/loss.csv",
        evaluation=evaluations(),
    output:
        report=f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/render_report/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/render_report/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(300, 10),
        runtime=minutes(10, 0.05),
    params:
        sources=sources("render_report"),
    message:
        "Rendering the report"
    script:
        "../scripts/render_report.py"
