from pathlib import Path

from selfalign.report.configuration import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_page_is_the_schemas():
    assert PAGE.read_text() == page(), "run make docs"


def test_keys_in_lists_and_parts_with_their_defaults():
    text = page()
    assert "| `judge.examples` | integer from 0 | `7` |" in text
    assert "| `sources[].columns.content` | string | `\"content\"` |" in text
    assert "| `model.path` | string | required |" in text
    assert "| `functions.near_dedup.threshold` | number from 0 to 1 | `0.5` |" in text
