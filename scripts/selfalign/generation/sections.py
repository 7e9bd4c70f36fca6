"""The four sections of a response: [Reasoning], [Implementation], [Explanation], [Tests].

One reader for everybody: generation (is it well formed?), execution (which program is it?) and selection (vary its form).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

SECTIONS = ("Reasoning", "Implementation", "Explanation", "Tests")

_HEADING = re.compile(r"^\[(Reasoning|Implementation|Explanation|Tests)\][ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_PYTHON = ("", "python", "python3", "py")


@dataclass(frozen=True)
class Sections:
    """The text of each section, without heading and surrounding blank lines."""

    reasoning: str
    implementation: str
    explanation: str
    tests: str


class SectionError(ValueError):
    """The response is not in the four sections. `reason` is missing_section or section_order."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def split_sections(response: str) -> Sections:
    """The four sections of `response`; SectionError unless each is there exactly once, in order and not empty."""
    headings = list(_HEADING.finditer(response))
    found = tuple(match.group(1) for match in headings)
    for name in SECTIONS:
        if name not in found:
            raise SectionError("missing_section", f"no [{name}]")
    if found != SECTIONS:
        raise SectionError("section_order", " ".join(f"[{name}]" for name in found))
    if before := response[: headings[0].start()].strip():
        raise SectionError("section_order", f"text before [Reasoning]: {before[:60]!r}")
    ends = [match.start() for match in headings[1:]] + [len(response)]
    texts = [response[match.end() : end].strip() for match, end in zip(headings, ends, strict=True)]
    for name, text in zip(SECTIONS, texts, strict=True):
        if not text:
            raise SectionError("missing_section", f"[{name}] is empty")
    return Sections(*texts)


def code_blocks(section: str) -> list[str]:
    """The Python code of each closed fence of a section (other languages left out), in order."""
    return [match.group(2) for match in _FENCE.finditer(section) if match.group(1).lower() in _PYTHON]


def map_code_blocks(section: str, change: Callable[[str], str]) -> str:
    """The section with `change` applied to each block that `code_blocks` gives, which gets a plain ```python fence. The rest stays."""

    def changed(match: re.Match) -> str:
        if match.group(1).lower() not in _PYTHON:
            return match.group(0)
        code = change(match.group(2))
        return f"```python\n{code}```" if not code or code.endswith("\n") else f"```python\n{code}\n```"

    return _FENCE.sub(changed, section)
