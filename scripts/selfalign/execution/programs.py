"""From a response to a program, or to a verdict where there is no program."""

from dataclasses import dataclass

from selfalign.generation.sections import SectionError, code_blocks, split_sections


@dataclass(frozen=True, slots=True)
class Program:
    """An implementation and its tests, two texts that run one after the other in one module."""

    id: str
    code: str
    tests: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`verdict`: passed, or a key of data.tables.VERDICTS. `detail`: what and where, the same in every run."""

    id: str
    verdict: str
    detail: str


def program_of(row: str, response: str) -> Program | Verdict:
    """The program in a response: the code blocks of [Implementation] and of [Tests], each joined."""
    try:
        sections = split_sections(response.replace("\r\n", "\n"))
    except SectionError as error:
        return Verdict(row, "no_code", error.detail)
    code, tests = ("\n".join(code_blocks(section)) for section in (sections.implementation, sections.tests))
    if not code.strip():
        return Verdict(row, "no_code", "no code block in [Implementation]")
    if not tests.strip():
        return Verdict(row, "no_tests", "no code block in [Tests]")
    return Program(row, code, tests)
