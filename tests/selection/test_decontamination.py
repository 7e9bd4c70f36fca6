import gzip
import json
import random

import pytest

from selfalign.data.errors import InputError
from selfalign.selection.decontamination import Decontamination, load_benchmark, prose_of

GAPS = '''def widest_gap(heights: list[int]) -> int:
    """Walk along the given skyline and report how far apart the two tallest towers stand,
    counting only the empty plots between them. Towers of equal height count as one
    if they touch each other.

    >>> widest_gap([3, 0, 0, 5])
    2
    """
'''
GAPS_SOLUTION = """    tallest = sorted(range(len(heights)), key=heights.__getitem__)[-2:]
    between = heights[min(tallest) + 1 : max(tallest)]
    return sum(1 for plot in between if plot == 0)
"""
SHORT = 'def halve(x):\n    """Divide the number by two."""\n'
PROBLEMS = [
    {"task_id": "Demo/0", "prompt": GAPS, "canonical_solution": GAPS_SOLUTION},
    {"task_id": "Demo/1", "prompt": SHORT, "canonical_solution": "    return x / 2\n"},
]


@pytest.fixture
def benchmark(tmp_path):
    def write(rows, name="demo.jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        return tmp_path / name

    return write


def find(path, *texts, ngram=10):
    return [hit and (hit.benchmark, hit.task) for hit in Decontamination([load_benchmark(path)], ngram).find(texts)]


PROSE = " ".join(prose_of(GAPS).split())


@pytest.mark.parametrize(
    "text",
    [
        GAPS + GAPS_SOLUTION,
        GAPS.replace("widest_gap", "far_apart").replace("heights", "towers"),
        f"Please write a function for this. {PROSE} Thank you.",
        PROSE.upper().replace(" ", "\n"),
        PROSE.replace("skyline", "city").replace("empty", "free"),
        PROSE[len(PROSE) // 3 :],
        "Some reasoning.\n\n```python\ndef other(heights):\n" + GAPS_SOLUTION + "```",
        GAPS_SOLUTION.replace("    ", "\t").replace("plot", "p"),
    ],
    ids=["verbatim", "renamed", "instruction", "layout", "two words changed", "a part", "solution", "solution edited"],
)
def test_copies_and_lightly_edited_copies_are_found(benchmark, text):
    assert find(benchmark(PROBLEMS), text) == [("demo", "Demo/0")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Report how far apart two stars stand in the sky.",
        'def f(heights: list[int]) -> int:\n    """Report the height of the tallest tower."""\n    return max(heights)\n',
        "    return x / 2\n",  # a solution of a few words is anybody's code
        "We divide the number by its square root, then add two.",
    ],
)
def test_texts_that_only_share_words_are_not_found(benchmark, text):
    assert find(benchmark(PROBLEMS), text) == [None]


@pytest.mark.parametrize("every", [4, 5, 7])
def test_paraphrases_are_found_in_which_a_word_of_some_is_another_one(benchmark, every):
    """No six words in a row are left of the original."""
    words = PROSE.split()
    changed = " ".join("something" if place % every == 0 else word for place, word in enumerate(words))
    left_out = " ".join(word for place, word in enumerate(words) if place % every)
    assert find(benchmark(PROBLEMS), f"Please help. {changed}", left_out) == [("demo", "Demo/0")] * 2


def test_a_phrase_that_two_templated_problems_share_is_not_a_paraphrase_of_them(benchmark):
    """Most of each statement stands in many others, so that little but the phrase is its own."""
    start = "Take a list of whole numbers and keep the even ones among them, then sort what is left from the largest to the smallest one, then"
    ends = ["tell whether the first member is a multiple of three", "add all", "negate all", "count all"]
    path = benchmark([{"task_id": str(number), "prompt": f"{start} {end}"} for number, end in enumerate(ends)])
    assert find(path, f"Ask for a number and {ends[0]} for it") == [None]
    assert find(path, f"{start} {ends[0]}") == [("demo", "0")]


def test_phrases_that_many_problems_of_a_benchmark_share_are_generic(benchmark):
    def prompt(what):
        return f'def f(values):\n    """Take the given list of whole numbers and give back {what}."""\n'

    whats = ["the sum of its squares", "its largest odd member or none", "how often each value occurs in it", "every second value from the end"]
    path = benchmark([{"task_id": str(i), "prompt": prompt(what), "canonical_solution": "    pass\n"} for i, what in enumerate(whats)])
    common = "Take the given list of whole numbers and give back the product of all."
    assert find(path, common, common.replace("the product of all", whats[1])) == [None, ("demo", "1")]
    # In a benchmark of two problems nothing is generic.
    few = benchmark(
        [{"task_id": str(i), "prompt": prompt(what), "canonical_solution": "    pass\n"} for i, what in enumerate(whats[:2])], "few.jsonl"
    )
    assert find(few, common) != [None]


def test_a_row_of_numbers_is_nobodys_problem(benchmark):
    numbers = ", ".join(map(str, range(1, 41)))
    path = benchmark([{"task_id": "0", "prompt": f"{GAPS}\n    >>> widest_gap([{numbers}])\n    0\n"}])
    assert find(path, f"array([[{numbers}]])", f"Some array([{numbers}])") == [None, None]
    assert find(path, f">>> widest_gap([{numbers}]) {PROSE}") == [("demo", "0")]


def test_variations_of_one_problem_do_not_make_it_generic(benchmark):
    """Five perturbations of a problem share almost all of their words, and rows may repeat a problem: neither hides it."""
    words = "I have a table with columns for city and street and want the mean of the prices of each city as a new column of it"
    origin = {"library": "Pandas", "perturbation_origin_id": 7}
    rows = [{"prompt": f"{words} variant {number}", "reference_code": "x", "metadata": {"problem_id": number, **origin}} for number in range(5)]
    assert find(benchmark(rows), words)[0] == ("demo", "0")
    same = [{"problem_id": "p1", "code": GAPS_SOLUTION, "input": str(number)} for number in range(6)]
    assert find(benchmark(same, "execution.jsonl"), GAPS_SOLUTION) == [("execution", "p1")]


def test_a_prompt_of_generic_phrases_still_counts_as_a_whole(benchmark):
    start, end = "take the given list of whole numbers and give back all of", "its members that are greater than the mean of the list"
    rows = [{"task_id": f"{i}", "prompt": f"{start} word{i} {end}"} for i in range(3)]
    rows += [{"task_id": f"{i}", "prompt": f"sentence number{i} then {start} {end}"} for i in range(3, 6)]
    rows.append({"task_id": "whole", "prompt": f"{start} {end}"})
    assert find(benchmark(rows), f"Please {start} {end}!", f"Please {start} them.", end) == [("demo", "whole"), None, None]


def test_many_patterns_are_all_found_and_nothing_else(benchmark):
    rng = random.Random(3)
    vocabulary = [f"w{number}" for number in range(3000)]
    prompts = [" ".join(rng.choices(vocabulary, k=30)) for _ in range(3000)]
    index = Decontamination([load_benchmark(benchmark([{"task_id": str(i), "prompt": prompt} for i, prompt in enumerate(prompts)]))], 10)
    texts = [" ".join(rng.choices(vocabulary, k=40)) for _ in range(300)]
    inside = rng.sample(range(len(prompts)), 100)
    texts += [f"{texts[0]} {prompts[number]} {texts[1]}" for number in inside]
    assert [hit and hit.task for hit in index.find(texts)] == [None] * 300 + [str(number) for number in inside]


def test_the_problem_with_the_largest_share_is_named_with_its_benchmark(benchmark):
    one, two = (
        benchmark(PROBLEMS),
        benchmark([{"task_id": "Copy/9", "prompt": GAPS[: GAPS.index("counting")] + '"""\n', "code": ""}], "copy.jsonl.gz"),
    )
    index = Decontamination([load_benchmark(one), load_benchmark(two)], 10)
    [hit] = index.find([GAPS[: GAPS.index("counting")] + '"""'])
    assert str(hit).startswith("copy Copy/9 (")
    assert [str(hit).split(" (")[0] for hit in index.find([GAPS])] == ["demo Demo/0"]


def test_a_texts_hits_do_not_depend_on_its_neighbours(benchmark):
    index = Decontamination([load_benchmark(benchmark(PROBLEMS))], 10)
    texts = [PROSE, "nothing", GAPS_SOLUTION, "", SHORT, "def f(x):\n    return x\n"] * 3
    assert index.find(texts) == [hit for text in texts for hit in index.find([text])]


def test_without_a_benchmark_nothing_is_found():
    assert Decontamination([], 10).find(["anything at all", ""]) == [None, None]


def test_the_texts_of_other_formats_are_read(benchmark):
    words = "count the plots between the two tallest towers of a given skyline in the city"
    rows = [{"task_id": 11, "text": words, "code": "def f(x):\n  return x", "test_list": []}, {"question_id": "q1", "question_content": words[::-1]}]
    assert find(benchmark(rows), words.title(), words[::-1]) == [("demo", "11"), ("demo", "q1")]


def test_a_line_ends_at_its_newline_alone(tmp_path):
    """JSON may hold other line separators as they are; files of other systems begin with a mark and have carriage returns."""
    rows = "".join(json.dumps({"prompt": f"{GAPS}\u2028\x85{number}"}, ensure_ascii=False) + "\r\n" for number in range(2))
    (tmp_path / "demo.jsonl").write_bytes(b"\xef\xbb\xbf" + rows.encode())
    assert find(tmp_path / "demo.jsonl", GAPS) == [("demo", "1")]


def test_a_file_that_is_no_benchmark_is_an_error_that_names_the_line(benchmark, tmp_path):
    with pytest.raises(InputError, match=r"demo\.jsonl: line 2 has none of prompt"):
        load_benchmark(benchmark([PROBLEMS[0], {"question": "?"}]))
    with pytest.raises(InputError, match="no such file"):
        load_benchmark(tmp_path / "nowhere.jsonl")
    (tmp_path / "text.jsonl").write_text("not json\n")
    with pytest.raises(InputError, match="line 1 is not JSON"):
        load_benchmark(tmp_path / "text.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no problem in it"):
        load_benchmark(tmp_path / "empty.jsonl")
    (tmp_path / "broken.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="not readable"):
        load_benchmark(tmp_path / "broken.jsonl.gz")


def test_prose_ends_where_examples_begin():
    assert prose_of(GAPS).split()[-3:] == ["touch", "each", "other."]
    assert prose_of("Add two numbers.\nassert add(1, 2) == 3").strip() == "Add two numbers."
    assert prose_of('"""\nAdd two numbers.\nExample: add(1, 2)\n"""').strip() == "Add two numbers."
