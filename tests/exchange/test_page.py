"""docs/inputs-and-outputs.md says what the code does."""

import re
from pathlib import Path

from selfalign.data.tables import IMPORT_STEP, REASONS, STEP_OF
from selfalign.exchange.export import COLUMNS
from selfalign.exchange.importer import NEEDED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "inputs-and-outputs.md").read_text()


def _table(heading):
    """The rows of the table that begins with this line, by the names in their first cell."""
    found = {}
    for line in PAGE.partition(f"{heading}\n|---")[2].splitlines()[1:]:
        if not line.startswith("|"):
            break
        first, second = [cell.strip() for cell in line.strip("|").split("|")][:2]
        found |= {name: second for name in re.findall(r"`([^`]+)`", first)}
    return found


def test_needed_columns():
    assert _table("| `inputs:` | needed columns | the run goes on with |") == {name: ", ".join(columns) for name, columns in NEEDED.items()}


def test_exported_columns():
    assert _table("| dataset | columns |") == {name: ", ".join(schema.names) for name, schema in COLUMNS.items()}


def test_targets_and_reasons():
    assert STEP_OF.keys() <= _table("| target | what it makes |").keys()
    assert all(f"`{reason}`" in PAGE for reason in REASONS[IMPORT_STEP])
