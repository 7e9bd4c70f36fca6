# Rows from elsewhere (`inputs` in the config): the dataset at which the run enters, with the ancestors that its rows carry.


# The rules that make these files otherwise are not asked.
ruleorder: import_rows > filter_functions
ruleorder: import_rows > judge_seeds
ruleorder: import_rows > extract_concepts
ruleorder: import_rows > write_instructions
ruleorder: import_rows > write_responses
ruleorder: import_rows > execute_responses
ruleorder: import_rows > select_dataset


rule import_rows:
    input:
        files=imported_files(),
    output:
        **{dataset: dataset_files(dataset) for dataset in IMPORTED},
        dropped=dropped_files(ENTRY),
        stats=f"{RESULTS}/stats/import_rows/all.json",
    log:
        f"{RESULTS}/logs/import_rows/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/import_rows/all.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=memory(500),
        runtime=minutes(30, 2),
        disk_mb=disk(1000),
    params:
        cfg=cfg("inputs", "licences"),
        entry=ENTRY,
        results=RESULTS,
        sources=sources("import_rows"),
    message:
        f"Importing {ENTRY} from {CONFIG['inputs'][ENTRY]}"
    script:
        "../scripts/import_rows.py"
