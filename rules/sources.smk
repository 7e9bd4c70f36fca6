# Where code comes from: every top-level function with a docstring, in shards by id.


rule extract_functions:
    output:
        shards=shards("extracted"),
        dropped=shards("dropped/extracted"),
        stats=f"{RESULTS}/stats/extract_functions/all.json",
    log:
        f"{RESULTS}/logs/extract_functions/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_functions/all.tsv"
    conda:
        "../envs/data.yaml"
    threads: 8
    resources:
        mem_mb=memory(2500),
        runtime=minutes(30, 2),
        disk_mb=disk(1000),
    params:
        cfg=cfg("sources", "licences", "shards"),
        sources=sources("extract_functions"),
        versions=source_versions(),
        files=source_files(),
    message:
        "Reading sources: functions with a docstring"
    script:
        "../scripts/extract_functions.py"


# The notices that the licences of the source code ask for; they go with datasets and model.
rule write_notice:
    input:
        files=imported_notice(),
    output:
        notice=report(
            f"{RESULTS}/NOTICE.txt",
            caption="captions/notice.rst",
            category="Data",
            labels={"what": "notices of the sources' licences"},
        ),
        stats=f"{RESULTS}/stats/write_notice/all.json",
    log:
        f"{RESULTS}/logs/write_notice/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_notice/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(200),
        runtime=5,
    params:
        cfg=cfg("sources"),
        versions=source_versions(),
        sources=sources("write_notice"),
    message:
        "Writing the notices of the sources' licences"
    script:
        "../scripts/write_notice.py"
