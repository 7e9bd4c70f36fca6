"""What the documents say: every command in them works, links lead somewhere, generated pages are up to date, no config key is dead.

The one convention for a command that nobody could try (it needs a GPU, a cluster or an account): the word "untried" stands beside it, in its line
of a code block or in its paragraph. Commands are tried without their work: Snakemake plans them, make prints them, ours read their arguments.
"""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from selfalign.cli import parser
from selfalign.data.tables import SCHEMAS
from selfalign.report import pages
from selfalign.report.pipeline import picture
from selfalign.workflow.plan import parse, plan
from selfalign.workflow.rebuild import keys

ROOT = Path(__file__).resolve().parents[1]



def files(*suffixes):
    """Files of the project with these suffixes, not those of runs and environments."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "results-", "cache", "build")))
        if folder == str(ROOT / "results"):
            folders.clear()
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(suffixes))


DOCUMENTS = list(files(".md"))
PARTS = ("Snakefile", "config.yaml", "rules", "scripts", "schemas", "profiles", "presets", "prompts", "benchmarks", "envs", "models", "tests")
OURS = ("make", "snakemake", "selfalign", "python", ".ci/run", ".ci/vllm")
OTHERS = ("apt-get", "pip", "hf", "docker", "sbatch", "eval", "$EDITOR")  # programs of others: only their marks are checked
NEEDS = (r"^hf ", r"^snakemake push", r"--device cuda", r"^(selfalign run|snakemake) (?!.*(-n|--dry-run)\b).*presets/")


def commands(path):
    """(command, is it marked as untried?) of a document: lines of code blocks, and code in its text."""
    text = path.read_text(encoding="utf-8")
    for paragraph in re.split(r"\n\s*\n", text):
        fenced = paragraph.lstrip().startswith("```")
        for line in paragraph.splitlines():
            if line.startswith("    ") or fenced:
                yield re.sub(r"\s\s+#.*", "", line).strip(), "untried" in line
        rows = paragraph.splitlines() if paragraph.startswith("|") else [paragraph]
        for row in rows:
            for code in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", "" if fenced else row):
                yield " ".join(code.split()), "untried" in row.lower()


def documented():
    found = {}
    for path in DOCUMENTS:
        for command, marked in commands(path):
            command = command.removeprefix(".venv/bin/")
            program = command.split(" ")[0]
            if program in (*OURS, *OTHERS) and command not in OURS + OTHERS and not command.startswith("python tests/slurm"):
                found.setdefault(command, (path.relative_to(ROOT), marked))
    return found


COMMANDS = documented()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The project, linked, with the files of its own that documents speak of."""
    folder = tmp_path_factory.mktemp("documented")
    for name in PARTS:
        (folder / name).symlink_to(ROOT / name)
    small = yaml.safe_load((ROOT / "tests" / "small.yaml").read_text())
    (folder / "my.yaml").write_text(yaml.safe_dump({**small, "results_dir": "results-mine"}))
    (folder / "results").mkdir()
    (folder / "results" / "config.yaml").write_text(yaml.safe_dump(small))
    (folder / "my-seeds.jsonl").write_text('{"content": "def f(x):\\n    return x"}\n')
    texts = ("instruction", "response", "answer", "seed", "uuid")
    table = pa.table({**{name: ["x"] for name in texts}, "concepts": [["x"]]})
    (folder / "exports" / "responses").mkdir(parents=True)
    for path in ("my.parquet", "exports/responses/0.parquet"):
        pq.write_table(table, folder / path)
    return folder


def planned(arguments):
    """Whether Snakemake can plan a command line, or reads one that asks for something else than a run."""
    if any(option in arguments for option in ("--unlock", "--report", "--lint")):
        return bool(parse(["--cores", "1", *arguments]))
    if "profiles/slurm" in arguments and find_spec("snakemake_executor_plugin_slurm") is None:  # the profile names it
        arguments = [argument for argument in arguments if argument not in ("--workflow-profile", "profiles/slurm")]
    if any("presets/" in argument for argument in arguments):
        arguments = [*arguments, "--config", "shards=2"]  # as published it takes 12 s
    return plan(parse(["--cores", "1", "--nolock", *arguments]), lambda dag: True)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.split(" ")[0] in OURS])
def test_documented_command_works(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    program, *arguments = shlex.split(re.sub(r"[\[\]]|\s…$|>.*", "", command) if "{" not in command else command)
    if program == "make":
        subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True, timeout=30)
    elif program == "python":
        if arguments[0] == "-m":
            assert find_spec(arguments[1])
        else:
            source = (ROOT / arguments[0]).read_text()
            assert all(f'"{argument}"' in source for argument in arguments if argument.startswith("--"))
    elif program.startswith(".ci/"):
        subprocess.run(["bash", "-n", ROOT / program], check=True)
    elif program == "snakemake" or arguments[0] == "run":
        assert planned(arguments[program == "selfalign" :]), capsys.readouterr().err[-2000:]
    elif len(arguments) == 1 and arguments[0] != "cache":  # a command by its name
        assert re.search(rf"^    {arguments[0]}\b", parser().format_help(), re.MULTILINE)
    else:
        parsed, rest = parser().parse_known_args(arguments)
        assert not rest and parsed.run


def test_what_needs_a_gpu_a_cluster_or_an_account_is_marked():
    needing = {command: found for command, found in COMMANDS.items() if any(re.search(need, command) for need in NEEDS)}
    assert [f"{path}: {command}" for command, (path, marked) in needing.items() if not marked] == []
    assert len(needing) >= 5


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", path.read_text(encoding="utf-8"))):
        if not target.startswith(("http", "#")):
            file, _, heading = target.partition("#")
            assert (path.parent / file).exists(), target
            if heading:
                titles = re.findall(r"^#+ (.*)$", (path.parent / file).read_text(encoding="utf-8"), re.MULTILINE)
                assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, target


@pytest.mark.parametrize("step", pages.STEPS)
def test_page_of_a_step_is_what_the_code_says(step):
    text = (ROOT / "docs" / "steps" / f"{step}.md").read_text(encoding="utf-8")
    assert text == pages.page(text, step), "run make docs"


def test_every_column_is_described():
    assert {field.name for schema in SCHEMAS.values() for field in schema} == pages.COLUMNS.keys()


def test_every_config_key_is_read_somewhere():
    paths = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk"), *(ROOT / "scripts").rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    names = {part for key, _ in keys() for part in key.split(".")}
    assert [name for name in sorted(names) if not re.search(rf"""["'.]{name}["']|\b{name}=""", code)] == []


def test_picture_has_every_step_with_its_counts():
    steps = [{"dataset": name, "kept": 1000 + place, "dropped": place, "reasons": {"too_odd": place}} for place, name in enumerate(SCHEMAS)]
    scores = {"some": {which: {"greedy": {"score": score}} for which, score in (("base", 0.25), ("tuned", 0.5))}}
    svg = picture({"steps": steps, "evaluation": scores})
    for number in (*(f"{1000 + place:,}" for place in range(len(SCHEMAS))), "50.0%", "base model 25.0%", "most: too odd"):
        assert f">{number}<" in svg


def test_version_is_the_same_everywhere():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert re.search(r"^version: (.*)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1].strip("\"'") == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_is_longer_than_400_lines():
    paths = files(".py", ".smk", ".md", ".h", ".c", ".js", ".css")
    assert [str(path) for path in paths if path.read_text(encoding="utf-8").count("\n") > 400] == []


if __name__ == "__main__":
    sys.exit("\n".join(f"{path}: {'untried ' if marked else ''}{command}" for command, (path, marked) in COMMANDS.items()))
