"""Write the examples of prompts/tiny.yaml: snippets written by hand, the rest from the small world, without mistakes.

python models/tiny/recipe/fewshot.py
"""

import random

import yaml
from concepts import find_concepts
from corpus import CATEGORY, LANGUAGE, PROMPTS, draw_problem, instruction_text, response_text
from operations import OPS
from problems import DIFFICULTY

from selfalign.generation.sections import code_blocks, split_sections

SEED = 12
SNIPPETS = (
    '''def clamp_ratio(part, whole):
    """Return part / whole, kept between 0 and 1; 0 if whole is 0."""
    if whole == 0:
        return 0.0
    return max(0.0, min(1.0, part / whole))''',
    '''def initials(full_name):
    """Return the upper-case initials of a name, joined by dots."""
    return ".".join(word[0].upper() for word in full_name.split())''',
    '''def depth(tree):
    """Return how deep a tree of nested lists is; a leaf has depth 0."""
    if not isinstance(tree, list):
        return 0
    return 1 + max((depth(branch) for branch in tree), default=0)''',
    '''def read_flag(options, name):
    """Return whether the option `name` is set to a true value."""
    value = options.get(name, "off")
    return value.lower() in ("on", "yes", "true")''',
    '''def pairs(items):
    """Return neighbouring items as tuples, in order."""
    return [(items[i], items[i + 1]) for i in range(len(items) - 1)]''',
    '''def safe_int(text, default):
    """Convert text to an integer, or return default if it is none."""
    try:
        return int(text)
    except ValueError:
        return default''',
    '''def running_total(numbers):
    """Yield the sum of the numbers so far, one value per number."""
    total = 0
    for number in numbers:
        total += number
        yield total''',
    '''def label(name, count):
    """Return a label like 'apples (3)', without the number if it is 0."""
    if not count:
        return name
    return f"{name} ({count})"''',
    '''def rank(scores):
    """Return the names in a dict of scores, best first."""
    return sorted(scores, key=scores.get, reverse=True)''',
    '''def strip_comment(line):
    """Return the line without what follows a '#', and without spaces at its end."""
    head, _, _ = line.partition("#")
    return head.rstrip()''',
)  # fmt: skip
JUDGED = (
    ("Yes", '''def seconds(hours, minutes):
    """Return the number of seconds in the given hours and minutes."""
    return hours * 3600 + minutes * 60'''),
    ("No", '''def seconds(hours, minutes):
    """Helper."""
    return hours * 3600 + minutes * 60'''),
    ("No", '''def merge(first, second):
    """Return the characters of a text in alphabetical order."""
    result = dict(first)
    result.update(second)
    return result'''),
    ("Yes", '''def merge(first, second):
    """Return a new dict with the items of both; those of second win."""
    result = dict(first)
    result.update(second)
    return result'''),
    ("Yes", '''def vowels(text):
    """Count the vowels in text, upper and lower case."""
    return sum(letter in "aeiou" for letter in text.lower())'''),
    ("No", '''def vowels(text):
    """Process the input."""
    return sum(letter in "aeiou" for letter in text.lower())'''),
)  # fmt: skip


def build() -> dict:
    """The few-shot file's content."""
    rng = random.Random(SEED)
    examples = []
    for index, snippet in enumerate(SNIPPETS):
        concepts = find_concepts(snippet)
        problem = draw_problem(rng, 1 + index % 3)
        shared = set(concepts) & {concept for op in OPS for concept in op.concepts}
        while shared and not shared & set(problem.concepts()):
            problem = draw_problem(rng, 1 + index % 3)
        instruction = instruction_text(problem, rng)
        response = response_text(problem, instruction, rng, rates={})
        sections = split_sections(response)
        solution = "\n".join(code_blocks(sections.implementation) + code_blocks(sections.tests))
        parts = {"snippet": snippet, "category": CATEGORY, "language": LANGUAGE, "concepts": concepts, "difficulty": DIFFICULTY[len(problem.chain)]}
        examples.append({**parts, "instruction": instruction, "solution": solution, "response": response})
    judge = [{"snippet": snippet, "verdict": verdict} for verdict, snippet in JUDGED]
    system = yaml.safe_load(PROMPTS.read_text(encoding="utf-8"))["system"]
    return {"system": system, "examples": examples, "judge": judge}


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else '"'))

if __name__ == "__main__":
    content = build()
    PROMPTS.write_text(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000), encoding="utf-8")
    print(f"{PROMPTS.name}: {len(content['examples'])} examples, {len(content['judge'])} judged functions")
