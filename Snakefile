# selfalign: from source code to a fine-tuned model. Rules are in rules/, one file per stage, in the order in which data flows;
# what they do is in scripts/selfalign/. docs/architecture.md has the table of rules and files.

from snakemake.utils import min_version

min_version("9.27")

# A config given with --configfile stands alone: loading config.yaml beside it would let its keys leak in.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/resources.smk"


# The jobs' own lines are what the terminal shows of a run on this machine; Snakemake's log file has everything.
board = Board()
terminal = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
for handler in terminal:
    handler.addFilter(Quiet(lambda: not workflow.dryrun and workflow.local_exec))


onstart:
    end_on_hangup()
    # Snakemake holds its lock on the folder here. If no other does, for other targets, jobs that are still in Slurm have lost the Snakemake that
    # sent them, and temporary files the job that wrote them.
    if workflow.execution_settings.lock and is_alone(os.getcwd()):
        cancel_leftover_jobs(os.getcwd())
        remove_temporary_files(RESULTS)
    if CONFIG["cache_gb"]:
        prune(CACHE, max_bytes=CONFIG["cache_gb"] * 1e9)
    if workflow.local_exec:
        board.start(terminal)


onsuccess:
    board.stop()
    say_ending(ending(RESULTS))


onerror:
    board.stop()
    print(f"\n{failing(log)}", file=sys.stderr)


report: "rules/captions/workflow.rst"


rule all:
    input:
        f"{RESULTS}/report.html",
        f"{RESULTS}/summary.json",
        f"{RESULTS}/NOTICE.txt",


rule datasets:
    input:
        [dataset_files(dataset) for dataset in (*SHARDED, "dataset")],
        f"{RESULTS}/NOTICE.txt",


rule model:
    input:
        f"{RESULTS}/model",


rule evaluation:
    input:
        evaluations(),
        f"{RESULTS}/evaluation/scores.md",


rule report:
    input:
        f"{RESULTS}/report.html",


rule ablation:
    input:
        ablation_file,


rule exports:
    input:
        [f"{RESULTS}/exports/{dataset}" for dataset in EXPORTED],


rule push:
    input:
        [f"{RESULTS}/pushed/{dataset}.json" for dataset in EXPORTED],


# One step: a target named after the dataset that it makes.
for dataset in (*SHARDED, "dataset"):

    rule:
        name:
            dataset
        input:
            dataset_files(dataset),
        localrule: True


# Targets, and what takes moments or needs the network, which a cluster's nodes may not have: run where Snakemake runs.
localrules:
    all,
    datasets,
    model,
    evaluation,
    report,
    ablation,
    exports,
    push,
    draw_prompts,
    write_notice,
    fetch_benchmark,
    push_dataset,


if ENTRY:

    include: "rules/inputs.smk"


include: "rules/sources.smk"
include: "rules/seeds.smk"
include: "rules/generation.smk"
include: "rules/execution.smk"
include: "rules/selection.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
include: "rules/export.smk"
