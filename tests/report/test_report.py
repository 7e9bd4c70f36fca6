import json
from html.parser import HTMLParser

import pytest

from selfalign.report.examples import dropped_examples, final_examples
from selfalign.report.render import render
from selfalign.report.summary import summarize

VOID = {"meta", "br", "path", "polyline"}


@pytest.fixture
def summary(run):
    return summarize(run.cfg, run.kept, run.dropped, run.stats, run.loss, run.evaluation, "results/NOTICE.txt")


class Page(HTMLParser):
    """Collects the text, and refuses tags that are closed out of order or that load anything."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags = [], "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "link", "img", "iframe")
        assert not {"src", "href"} & {name for name, _ in attributes}
        self.tags.append(tag)
        if tag not in VOID and tag != "p":
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID and tag != "p":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(run, summary, losses=((1, 2.5), (2, 1.5), (3, 1.25))):
    failures = {("miniature", "base"): [{"task_id": "mini/1", "verdict": "timeout", "detail": "<slow>", "completion": "return 3"}]}
    return render(summary, losses, final_examples(run.kept, 10), dropped_examples(run.kept, run.dropped, 2), failures)


def test_summary_has_rows_verdicts_costs_and_scores(summary):
    assert summary["final_rows"] == 1
    assert summary["verdicts"]["passed"] == 1 and summary["verdicts"]["assertion_failed"] == 1
    assert summary["cost"]["rules"]["write_responses"]["output_tokens"] == 7
    assert summary["cost"]["rules"]["write_responses"]["finish"] == {"stop": 3}
    assert summary["cost"]["peak_memory_mb"] == 109
    assert summary["training"]["loss"] == {"steps": 3, "first": 2.5, "last": 1.25}
    assert summary["evaluation"]["miniature"]["gain"] == {"greedy": 20.0, "mean": None}
    assert json.loads(json.dumps(summary)) == summary


def test_page_is_well_formed_and_loads_nothing(run, summary):
    found = Page(page(run, summary))
    assert found.open == []
    assert "polyline" in found.tags


def test_page_shows_reasons_scores_and_examples_escaped(run, summary):
    html = page(run, summary)
    text = Page(html).text
    for expected in ("judged_no 1", "50.0%", "+20.0 points", "Double <a> number & return it.", "mini/1: timeout", "<slow>", "PSF-2.0"):
        assert expected in text
    assert "<a>" not in html and "<slow>" not in html


def test_dropped_row_is_shown_with_the_text_that_it_was_about(run):
    examples = dropped_examples(run.kept, run.dropped, per_reason=1)
    (judged,) = examples["judge_seeds"]
    assert judged["text"].startswith("def double")
    (executed,) = examples["execute_responses"]
    assert (executed["text"], executed["detail"]) == ("[Tests] assert x < 2", "assert double(2) == 5")
    (extracted,) = examples["extract_functions"]
    assert extracted["text"] == ""


def test_training_of_one_step_has_no_curve(run, summary):
    assert "Too few steps" in page(run, summary, losses=((1, 2.5),))
