import pytest

from selfalign.report.charts import bars, curve, dots, stacked
from selfalign.report.markup import Html, code, duration, share, shortened, table, tag, text

HOSTILE = """</script><script>alert(1)</script><img src=x onerror="alert(2)">'&amp;"""


@pytest.mark.parametrize(
    "made", [text(HOSTILE), tag("p", HOSTILE, title=HOSTILE), table([HOSTILE], [[HOSTILE]]), bars([(HOSTILE, 1, HOSTILE)], HOSTILE)]
)
def test_text_from_the_data_is_escaped_wherever_it_stands(made):
    assert "<script" not in made and "<img" not in made and 'onerror="' not in made


@pytest.mark.parametrize("language", ["python", "markdown", "diff", "yaml", "bash", "text"])
def test_listings_escape_in_every_language(language):
    listing = f"```python\n{HOSTILE}\n```\n# {HOSTILE}\n'{HOSTILE}'\n-{HOSTILE}\n+{HOSTILE}"
    made = code(listing, language, 10_000)
    assert "<script" not in made and "<img" not in made


def test_html_stays_html_when_text_is_added():
    added = tag("b", "x") + "<i>"
    assert isinstance(added, Html) and added == "<b>x</b>&lt;i&gt;"


def test_control_characters_and_changes_of_direction_are_shown():
    assert text("a\x00b\x1b[31m\u202e") == "a\\x00b\\x1b[31m\\u202e"
    assert "\\u202e" in code("x = '\u202e'", "python", 100)
    assert text("lone \ud800").encode() == b"lone \\ud800"


def test_long_listing_says_how_much_is_missing():
    assert shortened("x" * 2500, 1000).endswith("1,500 more characters")
    assert shortened("x" * 1000, 1000) == "x" * 1000


def test_code_is_highlighted():
    assert '<span class="k">return</span>' in code("def f():\n    return 1", "python", 100)
    assert '<span class="k">return</span>' in code("Text.\n\n```python\nreturn 1\n```\n", "markdown", 100)
    assert '<span class="k">return</span>' in code("```python\nreturn 1\n```", "markdown", 100)


def test_shares_never_round_to_all_or_nothing():
    assert [share(part, 100_000) for part in (0, 1, 50_000, 99_999, 100_000)] == ["0%", "<0.1%", "50.0%", ">99.9%", "100%"]
    assert share(0, 0) == "-"


def test_durations_in_the_unit_of_a_person():
    assert [duration(seconds) for seconds in (0, 99, 100, 7200)] == ["0.0 s", "99.0 s", "1.7 min", "2.0 h"]


def test_bar_parts_follow_each_other():
    made = stacked([("kept", 3, "kept"), ("none", 0, "d0"), ("timeout", 1, "d1")], 4, "label")
    assert 'x="0%" y="0" width="75%"' in made and 'x="75%" y="0" width="25%"' in made
    assert "none" not in made and "timeout: 1 (25.0%)" in made


def test_curve_of_a_long_training_is_short_and_of_a_flat_one_drawn():
    long = curve([(step, 1 / step) for step in range(1, 50_001)], "loss", "step")
    assert len(long) < 20_000
    assert "nan" not in curve([(1, 2.0), (2, 2.0)], "loss", "step")


def test_scores_stand_on_one_scale():
    made = dots([("base", 0.25, (0.1, 0.4), "base"), ("tuned", 0.5, None, "tuned")], "label")
    assert 'cx="25%"' in made and 'x1="10%"' in made and "base: 25.0% (95% interval 10.0 to 40.0)" in made and 'cx="50%"' in made
