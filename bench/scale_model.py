"""From measured jobs to the whole run on a cluster, on paper (bench_scale.py)."""

import heapq
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

SEEDS = 248_934  # seeds of the published run
GPU_SECONDS = 12 * 3600 * 4 / 37_000  # of all four model steps, for a seed: 12 h on 4 A100 for 37,000 seeds with 15 billion parameters
# Seconds that are no work: from sending a job to Slurm to its first process, and from its end to the next status check; and for each
# step in it, the starts of srun, Snakemake and Python with their imports (3 s of CPU time here; a shared file system takes longer).
SLURM_SECONDS, STEP_SECONDS = 45.0, 5.0
# The one job with processes of its own: how many, and which share of its CPU time they do not take (measured: 0.8 of 4.6 s).
PROCESSES = {"extract_functions": (8, 0.18)}
LINKS = 4  # jobs of a near-dedup pass that link (LINK_GROUPS in rules/common.smk from 49 shards on)
PASSES = {"link_candidates": 3, "cluster_candidates": 3}  # near-dedup passes of a rule, each over all rows
# Slurm's jobs in the order of the data: name, its rules, one per how many shards (0: one for all of them; EACH: one for each of the rules).
EACH = "each"
STAGES = (
    ("extract", ("extract_functions",), 0),
    ("sign", ("sign_functions", "band_functions"), "sign"),
    ("link", ("link_functions",) * LINKS, EACH),
    ("cluster", ("cluster_functions",), 0),
    ("filter", ("filter_functions",), "filter"),
    ("generate", ("judge_seeds", "extract_concepts", "write_instructions", "write_responses"), "generate"),
    ("execute", ("execute_responses",), "execute"),
    ("choose", ("choose_responses", "sign_candidates", "band_candidates"), "choose"),
    ("select", ("match_candidates", *(*("link_candidates",) * LINKS, "cluster_candidates") * PASSES["link_candidates"], "select_dataset"), 0),
)


@dataclass(frozen=True)
class Line:
    """A cost as a function of the seeds in a job."""

    base: float
    slope: float

    @classmethod
    def through(cls, first: tuple[float, float], second: tuple[float, float]) -> "Line":
        """Through two measurements; where noise makes it fall, the larger one for any number."""
        (x1, y1), (x2, y2) = sorted((first, second))
        slope = (y2 - y1) / (x2 - x1) if x2 > x1 else 0.0
        return cls(y1 - slope * x1, slope) if slope > 0 else cls(max(y1, y2), 0.0)

    @classmethod
    def of_links(cls, few: tuple[int, float, float], many: tuple[int, float, float], shards: int) -> "Line":
        """Of a job that links, which opens the files of all shards and compares its share of their rows: of `few` and `many` shards what
        was measured, (shards, seeds in its share, cost). What it takes to begin counts as work for seeds, so that the line is an upper bound.
        """
        (shards1, seeds1, cost1), (shards2, seeds2, cost2) = few, many
        scale = seeds2 / seeds1
        a_shard = max(0.0, (cost2 - scale * cost1) / (shards2 - scale * shards1))
        return cls(a_shard * shards, (cost1 - a_shard * shards1) / seeds1 / LINKS)

    def at(self, rows: float) -> float:
        """The cost of a job with so many seeds."""
        return max(0.0, self.base) + self.slope * rows


@dataclass
class Job:
    """A job of Slurm."""

    stage: str
    seconds: float
    gpu: int
    after: list[int]
    start: float = 0.0
    end: float = 0.0
    waits: int = 0


def wall(lines: dict[str, dict[str, Line]], rule: str, rows: float) -> float:
    """Seconds of a job with so many seeds."""
    processes, alone = PROCESSES.get(rule, (1, 1.0))
    return lines[rule]["seconds"].at(rows) * (alone + (1 - alone) / processes)


def plan(lines: dict[str, dict[str, Line]], profile: dict, shards: int) -> list[Job]:
    """The run's Slurm jobs, in the profile's groups, with what each waits for."""
    jobs: list[Job] = []
    before: list[list[int]] = [[] for _ in range(shards)]  # for each shard, the jobs that its next one waits for
    for stage, rules, per in STAGES:
        if per == EACH:
            waits, first = sorted({i for shard in before for i in shard}), len(jobs)
            jobs += [Job(stage, SLURM_SECONDS + STEP_SECONDS + wall(lines, rule, SEEDS), 0, waits) for rule in rules]
            before = [list(range(first, len(jobs)))] * shards
            continue
        size = profile["group-components"][per] if per else shards
        following: list[list[int]] = [[] for _ in range(shards)]
        for first in range(0, shards, size):
            members = range(first, min(first + size, shards))
            rows, steps = (SEEDS / shards, len(members) * len(rules)) if per else (SEEDS, len(rules))
            work = sum(wall(lines, rule, rows) for rule in rules) * (len(members) if per else 1)
            gpu = int(stage == "generate")
            model = GPU_SECONDS * rows * len(members) * gpu
            jobs.append(Job(stage, SLURM_SECONDS + steps * STEP_SECONDS + work + model, gpu, sorted({i for shard in members for i in before[shard]})))
            for shard in members:
                following[shard] = [len(jobs) - 1]
        before = following
    return jobs


def simulate(jobs: list[Job], gpus: int, cpus: int) -> float:
    """Seconds until all jobs are done where each runs as soon as what it waits for is done and a GPU or a core is free; sets their times."""
    free = {True: gpus, False: cpus}
    children = defaultdict(list)
    for i, job in enumerate(jobs):
        job.waits = len(job.after)
        for parent in job.after:
            children[parent].append(i)
    ready = [(0.0, i) for i, job in enumerate(jobs) if not job.waits]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        waiting = []
        for since, i in sorted(ready):
            kind = bool(jobs[i].gpu)
            if free[kind]:
                free[kind] -= 1
                jobs[i].start, jobs[i].end = now, now + jobs[i].seconds
                heapq.heappush(running, (jobs[i].end, i))
            else:
                waiting.append((since, i))
        ready = waiting
        now, done = heapq.heappop(running)
        free[bool(jobs[done].gpu)] += 1
        for child in children[done]:
            jobs[child].waits -= 1
            if not jobs[child].waits:
                ready.append((now, child))
    return now


def table(jobs: list[Job], lines: dict[str, dict[str, Line]], shards: int) -> str:
    """A stage a line: jobs, their hours, and memory of the largest."""
    out = ["| stage | Slurm jobs | longest job | all jobs | peak memory | begins | ends |", "|---|---|---|---|---|---|---|"]
    for stage, rules, per in STAGES:
        mine = [job for job in jobs if job.stage == stage]
        memory = f"{max(lines[rule]['memory'].at(SEEDS / shards) for rule in rules):,.0f} MB" if per not in (0, EACH) else "-"
        hours = sum(job.seconds for job in mine) / 3600
        unit = "GPU h" if mine[0].gpu else "core h"
        begins, ends = min(job.start for job in mine) / 3600, max(job.end for job in mine) / 3600
        longest = max(job.seconds for job in mine) / 60
        out.append(f"| {stage} | {len(mine)} | {longest:,.0f} min | {hours:,.1f} {unit} | {memory} | {begins:.1f} h | {ends:.1f} h |")
    return "\n".join(out)


def measurements(lines: dict[str, dict[str, Line]], full: dict[str, dict[str, float]], measured: int, shards: int) -> str:
    """A rule a line: what was measured, and what that makes of a job with all its rows."""
    out = ["| rule | jobs | measured, s | measured, MB | whole, s | whole, MB |", "|---|---|---|---|---|---|"]
    for rule, found in full.items():
        rows = SEEDS / shards if found["jobs"] == measured else SEEDS
        seconds = lines[rule]["seconds"].at(rows)
        # Of a job over all shards the memory cannot be read off: too little of it grew in the measured runs.
        memory = f"{lines[rule]['memory'].at(rows):,.0f}" if found["jobs"] == measured else "-"
        out.append(f"| {rule} | {found['jobs']:.0f} | {found['seconds']:.1f} | {found['memory']:.0f} | {seconds:,.0f} | {memory} |")
    return "\n".join(out)


def chart(jobs: list[Job], path: Path) -> None:
    """Write a picture of when each stage runs, and how many of its jobs at a time."""
    total, width, height, left = max(job.end for job in jobs), 760, 34, 90
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 20}" height="{height * len(STAGES) + 40}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for row, (stage, _, _) in enumerate(STAGES):
        mine = [job for job in jobs if job.stage == stage]
        marks = sorted([(job.start, 1) for job in mine] + [(job.end, -1) for job in mine])
        most, now, bars = 0, 0, []
        for (at, change), (until, _) in zip(marks, [*marks[1:], (total, 0)], strict=True):
            now += change
            most = max(most, now)
            bars.append((at, until, now))
        top = height * row + 4
        parts.append(f'<text x="4" y="{top + 18}">{stage}</text>')
        for at, until, count in bars:
            if count and until > at:
                tall = (height - 10) * count / most
                x, wide = left + width * at / total, max(0.5, width * (until - at) / total)
                parts.append(f'<rect x="{x:.1f}" y="{top + height - 10 - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}" fill="#3b6ea5"/>')
        first = min(job.start for job in mine)
        x = left + width * first / total
        anchor, x = ("end", x - 4) if x > left + width / 2 else ("start", left + width * max(job.end for job in mine) / total + 4)
        parts.append(f'<text x="{x:.1f}" y="{top + 18}" text-anchor="{anchor}" fill="#555">{most} at once</text>')
    bottom = height * len(STAGES) + 24
    step = max(1, round(total / 3600 / 8))
    for hour in range(0, int(total / 3600) + 1, step):
        parts.append(f'<text x="{left + width * hour * 3600 / total:.1f}" y="{bottom}" text-anchor="middle">{hour} h</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
