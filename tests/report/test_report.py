import json
import subprocess
from html.parser import HTMLParser

import pytest
import yaml

from selfalign.report.collect import collect
from selfalign.report.environment import commit
from selfalign.report.examples import Example
from selfalign.report.render import Facts, render
from selfalign.report.summary import config_text, summarize

VOID = {"meta", "link"}


class Page(HTMLParser):
    """Collects the text, and refuses tags that are closed out of order or that load anything."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags, self.ids, self.links = [], "", [], set(), set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert tag not in ("img", "iframe", "object", "embed", "form") and "src" not in found
        assert not any(name.startswith("on") for name in found)
        if "href" in found:
            assert found["href"].startswith("#") or found["href"] == "data:,"
            self.links.add(found["href"])
        self.ids.add(found.get("id"))
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_summary_has_rows_verdicts_costs_and_scores(summary):
    assert summary["final_rows"] == 1
    assert summary["verdicts"]["passed"] == 1 and summary["verdicts"]["assertion_failed"] == 1
    assert summary["cost"]["rules"]["write_responses"]["output_tokens"] == 7
    assert summary["cost"]["rules"]["write_responses"]["finish"] == {"stop": 3}
    assert summary["cost"]["peak_memory_mb"] == 109
    assert summary["training"]["loss"] == {"steps": 3, "first": 2.5, "last": 1.25}
    assert summary["evaluation"]["miniature"]["gain"] == {"greedy": 20.0, "mean": None}
    assert summary["environment"]["fingerprints"]["judge_seeds"] == ["f00d"]
    assert json.loads(json.dumps(summary)) == summary


def test_summary_of_a_run_that_stopped_early_has_what_there_is(run):
    for dataset in ("executed", "candidates", "dataset"):
        for folder in (dataset, f"dropped/{dataset}"):
            for path in (run.folder / folder).iterdir():
                path.unlink()
    found = summarize(run.cfg, run.kept, run.dropped, [*run.stats[:5], "missing.json"], "missing.csv", ["missing.base.json"], "NOTICE.txt")
    assert [step["dataset"] for step in found["steps"]] == ["extracted", "functions", "seeds", "concepts", "instructions", "responses"]
    assert (found["final_rows"], found["verdicts"], found["training"], found["evaluation"]) == (0, {}, {}, {})
    assert "cost" not in found["steps"][-1]
    text = Page(render(Facts(found))).text
    assert "judged_no" in text and "Training loss" not in text


def test_page_is_well_formed_loads_nothing_and_links_lead_somewhere(page):
    found = Page(page)
    assert found.open == []
    assert "polyline" in found.tags and found.tags.count("script") == 1
    assert {link[1:] for link in found.links if link.startswith("#")} <= found.ids


def test_page_shows_every_part_of_the_run(page):
    text = Page(page).text
    shown = ["judged_no 1", "the model finds the docstring insufficient", "50.0%", "+20.0 points", "Double <a> number & return it."]
    shown += ["assertion_failed", "Miniature/1", "PSF-2.0", "f00d", ".venv/bin/snakemake --configfile results/config.yaml", "A cluster of 2 rows"]
    shown += ["72.6%", "rows per second"]
    for expected in shown:
        assert expected in text, expected
    assert "<a>" not in page.replace("<a ", "")


def test_same_files_give_the_same_bytes(run, summary_file):
    facts = [collect(summary_file, run.kept[::step], run.dropped[::step], [], [], run.loss, run.evaluation) for step in (1, -1)]
    assert render(facts[0]) == render(facts[1])


def test_page_of_a_huge_run_stays_below_the_limit(run, summary_file):
    facts = collect(summary_file, run.kept, run.dropped, [], [], run.loss, run.evaluation)
    facts.losses = [(step, step // 1000, 1 / (step + 1)) for step in range(100_000)]
    for kept, dropped in facts.examples.values():
        for example in (*kept, *dropped):
            example.listings = [("Function", "python", "x = [1, 2]\n" * 300)]
        kept *= 10
        dropped *= 10
    page = render(facts, limit=250_000)
    assert len(page.encode()) < 250_000
    assert "more characters" in page and Page(page).open == []


def test_config_of_a_run_can_be_read_again(run):
    assert yaml.safe_load(config_text(run.cfg)) == run.cfg


def test_commit_and_whether_the_code_differs_from_it(tmp_path):
    assert commit(tmp_path) == {"commit": None, "changed": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "a.py").write_text("1")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    found = commit(tmp_path)
    assert len(found["commit"]) == 40 and found["changed"] is False
    (tmp_path / "a.py").write_text("2")
    assert commit(tmp_path) == {"commit": found["commit"], "changed": True}


@pytest.mark.parametrize("losses", [[(1, 1, 2.5)], []])
def test_training_of_one_step_has_no_curve(summary, losses):
    assert "Too few steps" in render(Facts(summary, losses=losses))


def test_row_is_named_by_what_it_says_and_not_by_a_heading(run, summary_file):
    facts = collect(summary_file, run.kept, run.dropped, [], [], run.loss, run.evaluation)
    listings = [("Response", "markdown", "[Reasoning]\n\n```python\nDouble the number.\n[Tests]")]
    facts.examples = {"responses": ([Example("f00d", "", "", {}, listings, "")], [])}
    assert "Double the number. f00d" in Page(render(facts)).text


def test_failure_with_an_empty_answer_says_so(run, summary_file):
    facts = collect(summary_file, run.kept, run.dropped, [], [], run.loss, run.evaluation)
    assert "The model wrote nothing." not in render(facts)
    facts.failures = {("miniature", "base"): [{"task_id": "Miniature/2", "verdict": "assertion_failed", "detail": "", "completion": "\n"}]}
    assert "The model wrote nothing." in render(facts)


def test_page_of_rows_from_elsewhere_does_not_say_that_the_model_wrote_them(run, summary_file):
    facts = collect(summary_file, run.kept, run.dropped, [], [], run.loss, run.evaluation)
    assert "How the model taught itself" in render(facts)
    facts.summary["config"] = {**facts.summary["config"], "inputs": {"responses": "mine.jsonl"}}
    page = Page(render(facts)).text
    assert "taught itself" not in page and "from the responses in mine.jsonl" in page
