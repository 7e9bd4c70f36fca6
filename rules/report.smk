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
        summary=report(
            f"{RESULTS}/summary.json",
            caption="captions/summary.rst",
            category="Run",
            labels={"what": "counts, reasons, costs, scores"},
        ),
        # The complete config: with it and the same commit anybody can make the run again.
        config=report(
            f"{RESULTS}/config.yaml",
            caption="captions/config.rst",
            category="Run",
            labels={"what": "complete config"},
        ),
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
        clusters=cluster_files(),
        prompts=[f"{RESULTS}/prompts/{step}.json" for step in run_jobs().get("draw_prompts", ())],
        loss=f"{RESULTS}/training/loss.csv",
        evaluation=evaluations(),
    output:
        report=report(
            f"{RESULTS}/report.html",
            caption="captions/report.rst",
            category="Run",
            labels={"what": "the whole run, to look at"},
        ),
    log:
        f"{RESULTS}/logs/render_report/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/render_report/all.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(300, 10),
        runtime=minutes(10, 0.05),
    params:
        sources=sources("render_report"),
    message:
        "Rendering the report"
    script:
        "../scripts/render_report.py"
