"""From candidates to the final dataset: duplicates out, form varied, concepts and seed joined."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from selfalign.data.files import to_dropped, to_table
from selfalign.data.ids import generator
from selfalign.data.tables import IMPORT_STEP, STEP_OF
from selfalign.generation.sections import code_blocks, split_sections
from selfalign.selection.assertions import bound_names, defined_names, standalone_assertions
from selfalign.selection.candidates import implementation_of
from selfalign.selection.form import append_assertions, asks_for_tests, vary_response

STEP = "select_dataset"
COPY_REASONS = ("duplicate_instruction", "duplicate_response", "duplicate_functions")
COPIES = pa.schema([("id", pa.string()), ("representative", pa.string()), ("reason", pa.string())])


class _Rows:
    """The rows that are left, and for how many each of them stands."""

    def __init__(self, rows: Sequence[dict]):
        self.left = {row["id"]: row for row in sorted(rows, key=lambda row: row["id"])}
        self.stands_for = dict.fromkeys(self.left, 1)
        self.dropped: list[dict] = []

    def drop(self, row: str, reason: str, one: str) -> None:
        """`one` stands for `row` from now on."""
        self.stands_for[one] += self.stands_for[row]
        parent = self.left.pop(row)["instruction_id"]
        self.dropped.append({"id": row, "parent_id": parent, "step": STEP, "reason": reason, "detail": one})

    def keep_one_of_each(self, groups: Iterable[tuple[str, Hashable]], reason: str) -> None:
        """Of the rows (id, key) with one key that are left, the one with the smallest id stays and stands for the others."""
        several = defaultdict(list)
        for row, key in groups:
            if row in self.left:
                several[key].append(row)
        for group in several.values():
            one = min(group)
            for row in sorted(group):
                if row != one:
                    self.drop(row, reason, one)


def find_copies(candidates: pa.Table) -> pa.Table:
    """Which candidates go before near-dedup: (id, representative, reason) for repeated instructions, then responses, then sets of defined names.

    Of a group the smallest id stays. White space does not count. A response that defines neither function nor class is nobody's duplicate by
    name. Later passes must not compare what goes here, nor let it stand for another row.
    """
    rows = _Rows(candidates.select(["id", "instruction_id", "instruction", "response"]).to_pylist())
    rows.keep_one_of_each(((row, " ".join(item["instruction"].split())) for row, item in rows.left.items()), "duplicate_instruction")
    rows.keep_one_of_each(((row, " ".join(item["response"].split())) for row, item in rows.left.items()), "duplicate_response")
    names = {row: tuple(defined_names(_code(item))) for row, item in rows.left.items()}
    rows.keep_one_of_each(((row, defined) for row, defined in names.items() if defined), "duplicate_functions")
    columns = {"id": "id", "representative": "detail", "reason": "reason"}
    return pa.table({name: [row[key] for row in rows.dropped] for name, key in columns.items()}, schema=COPIES)


def _code(row: Mapping) -> str:
    return implementation_of(split_sections(row["response"]).implementation)


def select_dataset(
    candidates: pa.Table,
    instructions: pa.Table,
    concepts: pa.Table,
    seeds: pa.Table,
    copies: pa.Table,
    clusters: Sequence[pa.Table],
    cfg: Mapping,
    seed: int,
) -> tuple[pa.Table, pa.Table]:
    """(dataset, dropped) of all candidates.

    `copies` is what `find_copies` found, `clusters` are those of the near-dedup passes over the others (id, representative), `cfg` is the config's
    `selection`. Of a group the smallest id stays, and its cluster_size counts all rows that went in its favour, itself included.
    """
    rows = _Rows(candidates.to_pylist())
    for reason in COPY_REASONS:
        for row in copies.filter(pc.equal(copies["reason"], reason)).to_pylist():
            rows.drop(row["id"], reason, row["representative"])
    for table in clusters:
        rows.keep_one_of_each(zip(table["id"].to_pylist(), table["representative"].to_pylist(), strict=True), "near_duplicate")
    joined = _Parents(instructions, concepts, seeds)
    kept = []
    for row, item in rows.left.items():
        instruction, response = vary_form(item, bound_names(_code(item)), cfg, seed)
        kept.append(
            {
                **{name: item[name] for name in ("id", "function_id", "instruction_id")},
                "instruction": instruction,
                "response": response,
                **joined.of(item["instruction_id"]),
                "cluster_size": rows.stands_for[row],
            }
        )
    return to_table(kept, "dataset"), to_dropped(rows.dropped)


def vary_form(row: Mapping, bound: Sequence[str], cfg: Mapping, seed: int) -> tuple[str, str]:
    """(instruction, response) of a candidate in the form in which the model is to see them. Each draw has a generator of its own.

    `bound` are the names that the implementation binds.
    """
    sections = split_sections(row["response"])

    def happens(purpose: str) -> bool:
        return generator(seed, row["id"], purpose).random() < cfg[purpose]

    response = vary_response(sections, happens("keep_reasoning"), happens("keep_explanation"), asks_for_tests(row["instruction"]))
    instruction = row["instruction"]
    if happens("append_tests"):
        assertions = standalone_assertions(code_blocks(sections.tests)[0], bound)
        instruction = append_assertions(instruction, assertions, generator(seed, row["id"], "which tests"))
    return instruction, response


class _Parents:
    """Concepts and seed of an instruction, and the foreign id that the first imported row among them had."""

    def __init__(self, instructions: pa.Table, concepts: pa.Table, seeds: pa.Table):
        self._concepts_of = dict(zip(instructions["id"].to_pylist(), instructions["concepts_id"].to_pylist(), strict=True))
        self._foreign = dict(zip(instructions["id"].to_pylist(), instructions["source_id"].to_pylist(), strict=True))
        self._concepts = {row: index for index, row in enumerate(concepts["id"].to_pylist())}
        self._seeds = {row: index for index, row in enumerate(seeds["id"].to_pylist())}
        self._tables = concepts, seeds

    def of(self, instruction: str) -> dict:
        concepts, seeds = self._tables
        index = self._concepts[self._concepts_of[instruction]]
        seed = self._seeds[concepts["seed_id"][index].as_py()]
        foreign = self._foreign[instruction] or concepts["source_id"][index].as_py() or seeds["source_id"][seed].as_py()
        texts = {"concepts": concepts["concepts"][index].as_py(), "seed": seeds["content"][seed].as_py(), "sha1": seeds["sha1"][seed].as_py()}
        return {**texts, "source_id": foreign}


def explain_empty(before: Mapping[str, int], dropped: pa.Table) -> str:
    """Where the rows of an empty dataset went: rows of each dataset before it, and what each step dropped for which reason."""
    counts = ", ".join(f"{name} {count}" for name, count in before.items())
    reasons: dict[str, Counter[str]] = {step: Counter() for step in (IMPORT_STEP, *STEP_OF.values())}
    for step, reason in zip(dropped["step"].to_pylist(), dropped["reason"].to_pylist(), strict=True):
        reasons[step][reason] += 1
    lost = "; ".join(
        f"{step} dropped {sum(of_step.values())} ({', '.join(f'{reason} {count}' for reason, count in of_step.most_common())})"
        for step, of_step in reasons.items()
        if of_step
    )
    return f"the final dataset is empty. Rows left: {counts}. {lost or 'Nothing was dropped'}. Each dropped row is in the dropped/ folder"
