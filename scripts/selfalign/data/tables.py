"""The schema of every dataset and the documented reasons for dropping a row, by step.

A step is named after its rule. Every dataset is a folder `results/<dataset>/` with one parquet file per shard; what
the step that makes it drops is in `results/dropped/<dataset>/`. For every step:
rows asked for (rows in, times draws) = rows kept + rows dropped.
"""

import pyarrow as pa

_text = pa.string()

# The id that an imported row had in its own file; null for what the run made itself. to_table lets rows leave it out.
OPTIONAL = "source_id"

_FUNCTION = [
    ("id", _text),  # content_id(content)
    ("content", _text),
    ("sha1", _text),  # of the content, as published
    ("path", _text),  # where the source has it, relative to the source's root
    ("repository", _text),  # name of the repository, or name and version of the package; "" if the source does not say
    ("line", pa.int32()),  # of the `def`, from 1
    ("licence", _text),  # SPDX identifier
    ("source", _text),  # name of the source in the config
    # In `extracted` what its file offers for the names it mentions, from `functions` on what had to be added to it.
    ("imports", pa.list_(_text)),
    (OPTIONAL, _text),
]

SCHEMAS: dict[str, pa.Schema] = {
    # Every top-level function with a docstring, exact copies removed.
    "extracted": pa.schema(_FUNCTION),
    # Those that pass near-dedup, the static filters, decontamination and the type-check.
    "functions": pa.schema(_FUNCTION),
    # Those that the model judges good seeds. `score` is log P(yes) - log P(no), null if the engine has no log-probabilities.
    "seeds": pa.schema([*_FUNCTION, ("judge", _text), ("score", pa.float64())]),
    "concepts": pa.schema(
        [
            ("id", _text),  # row_id("extract_concepts", seed_id, draw)
            ("function_id", _text),
            ("seed_id", _text),
            ("draw", pa.int32()),
            ("prefix", pa.int32()),  # which of the step's few-shot draws the prompt began with
            ("concepts", pa.list_(_text)),
            (OPTIONAL, _text),
        ]
    ),
    "instructions": pa.schema(
        [
            ("id", _text),  # row_id("write_instructions", concepts_id, draw)
            ("function_id", _text),
            ("concepts_id", _text),
            ("draw", pa.int32()),
            ("prefix", pa.int32()),
            ("category", _text),
            ("language", _text),
            ("difficulty", _text),
            ("instruction", _text),
            (OPTIONAL, _text),
        ]
    ),
    "responses": pa.schema(
        [
            ("id", _text),  # row_id("write_responses", instruction_id, sample)
            ("function_id", _text),
            ("instruction_id", _text),
            ("sample", pa.int32()),
            ("prefix", pa.int32()),
            ("response", _text),
            ("finish_reason", _text),
            (OPTIONAL, _text),
        ]
    ),
    # Responses whose verdict is `passed`; the other verdicts are the reasons of the dropped ones.
    "executed": pa.schema(
        [
            ("id", _text),  # that of the response
            ("function_id", _text),
            ("instruction_id", _text),
            ("sample", pa.int32()),
            ("response", _text),
            ("verdict", _text),
            ("detail", _text),
            (OPTIONAL, _text),
        ]
    ),
    # Before near-dedup: one well-formed, decontaminated, passing response per instruction.
    "candidates": pa.schema(
        [
            ("id", _text),  # that of the response
            ("function_id", _text),
            ("instruction_id", _text),
            ("instruction", _text),
            ("response", _text),
        ]
    ),
    # The final dataset, results/dataset/train.parquet.
    "dataset": pa.schema(
        [
            ("id", _text),  # that of the response
            ("function_id", _text),
            ("instruction_id", _text),
            ("instruction", _text),
            ("response", _text),
            ("concepts", pa.list_(_text)),
            ("seed", _text),
            ("sha1", _text),
            ("cluster_size", pa.int32()),  # near-duplicates that it stands for, itself included
            (OPTIONAL, _text),  # of the imported row that it comes from, whichever step that entered at
        ]
    ),
}

DROPPED = pa.schema([("id", _text), ("parent_id", _text), ("step", _text), ("reason", _text), ("detail", _text)])

# Which step makes which dataset, in the order in which data flows.
STEP_OF: dict[str, str] = {
    "extracted": "extract_functions",
    "functions": "filter_functions",
    "seeds": "judge_seeds",
    "concepts": "extract_concepts",
    "instructions": "write_instructions",
    "responses": "write_responses",
    "executed": "execute_responses",
    "candidates": "choose_responses",
    "dataset": "select_dataset",
}

# A run can begin at one of these datasets with rows from elsewhere (`inputs` in the config): which ancestors come with them.
IMPORT_STEP = "import_rows"
ANCESTORS: dict[str, tuple[str, ...]] = {
    "functions": (),
    "seeds": (),
    "concepts": ("seeds",),
    "instructions": ("seeds", "concepts"),
    "responses": ("seeds", "concepts", "instructions"),
    "executed": ("seeds", "concepts", "instructions"),
    "dataset": (),
}


def steps_from(entry: str | None) -> dict[str, str]:
    """STEP_OF for a run that begins at `entry` (None: at the sources): the datasets that it makes, and the step that makes each.

    The entry itself is made by the import; its ancestors are tables without a step of their own.
    """
    if entry is None:
        return STEP_OF
    order = list(STEP_OF)
    return {entry: IMPORT_STEP, **{dataset: STEP_OF[dataset] for dataset in order[order.index(entry) + 1 :]}}


# Reasons that lie with the engine, and those that any generated text can give.
_ENGINE = {
    "prompt_too_long": "prompt and completion do not fit the model's context",
    "engine_failed": "the engine gave no completion after all retries; asked again on the next run",
}
_TEXT = {
    "length_stop": "the completion reached the token limit before its end",
    "repetition": "the completion repeats itself in a loop",
    "refusal": "the completion declines the task",
}
_EMPTY = {"empty": "the completion is empty"}

# Verdicts of the execution filter other than `passed`.
VERDICTS: dict[str, str] = {
    "no_code": "the response has no code block to run",
    "syntax_error": "implementation or tests do not parse",
    "no_tests": "there are no tests",
    "tests_not_run": "there are tests, but none was evaluated",
    "vacuous": "the tests also pass without a working implementation",
    "assertion_failed": "a test failed",
    "error": "an exception ended the program",
    "timeout": "over the time limit",
    "memory": "over the memory limit",
    "killed": "ended by a signal, or took its worker down twice",
    "output_limit": "printed or wrote more than allowed",
    "denied": "tried something that the sandbox forbids",
    "infrastructure": "the sandbox failed, not the program; tried again on the next run",
}

# Reasons that say nothing about the row: `selfalign run` asks for it again.
ASKED_AGAIN = ("engine_failed", "infrastructure")

REASONS: dict[str, dict[str, str]] = {
    IMPORT_STEP: {
        "unreadable_row": "no JSON object, or a column has not the text that it should have; detail names file, row and column",
        "licence": "the row's licence is not on the allow-list",
        "duplicate": "an exact copy of another row; detail names file and row of both",
    },
    "extract_functions": {
        "unreadable_file": "the file could not be read",
        "not_utf8": "the file is not UTF-8 text",
        "syntax_error": "the function's source does not parse as Python 3",
        "no_docstring": "the function has no triple-double-quoted docstring",
        "licence": "the source's licence is not on the allow-list",
        "over_limit": "beyond the source's limit, in order of id",
        "duplicate": "an exact copy of another function; detail names the source, path and line of both",
    },
    "filter_functions": {
        "near_duplicate": "a near-duplicate; detail names the row that stands for it",
        "no_return": "does not return a value",
        "no_argument": "takes no argument",
        "too_long": "more lines than allowed",
        "forbidden_word": "contains a forbidden word; detail names it",
        "forbidden_import": "imports a forbidden module; detail names it",
        "contaminated": "contains a benchmark problem; detail names it",
        "undefined_name": "uses a name that no import provides",
        "missing_import": "imports a module that the execution environment lacks",
        "type_error": "the type checker reports an error; detail has the first",
        "type_check_failed": "the type checker, or ruff before it, crashed or timed out on this function alone",
    },
    "judge_seeds": {"judged_no": "the model finds the docstring insufficient or wrong", "unparsable": "the judge gave neither yes nor no", **_ENGINE},
    "extract_concepts": {
        "no_concepts": "no concept in the list",
        "malformed": "not one line of short concepts with commas between",
        **_TEXT,
        **_ENGINE,
    },
    "write_instructions": {"malformed": "contains another section's heading", **_EMPTY, **_TEXT, **_ENGINE},
    "write_responses": {
        "missing_section": "a section is missing or empty",
        "section_order": "sections repeated or out of order",
        **_EMPTY,
        **_TEXT,
        **_ENGINE,
    },
    "execute_responses": VERDICTS,
    "choose_responses": {
        "not_chosen": "another passing response of the same instruction was chosen; detail names it",
        "sections": "a section is missing, repeated or out of order",
        "test_blocks": "not exactly one test block",
        "tests_without_call": "the tests do not assert or are not invoked at top level",
        "incomplete_code": "the implementation is a stub or unfinished",
        "contaminated": "contains a benchmark problem; detail names it",
        "contradiction": "the instruction's passing responses contradict each other (policy `consensus`)",
    },
    "select_dataset": {
        "duplicate_instruction": "the same instruction as another row; detail names it",
        "duplicate_response": "the same response as another row; detail names it",
        "duplicate_functions": "defines the same function names as another row; detail names it",
        "near_duplicate": "a near-duplicate; detail names the row that stands for it",
    },
}
