"""The prompt behind a finished row, written out again from results/prompts/<step>.json and the row's parent."""

from collections.abc import Mapping
from typing import Any

from selfalign.generation.draws import Prefixes
from selfalign.generation.fewshot import Example, Judged
from selfalign.generation.prompts import question


class Prompts:
    """The prompts of one step. `prompts` is the content of results/prompts/<step>.json."""

    def __init__(self, prompts: dict[str, Any]):
        self.step: str = prompts["step"]
        self._prefixes = Prefixes(prompts)

    def of(self, row: Mapping[str, Any], parent: Mapping[str, Any]) -> str:
        """The prompt that the model was given for `row`.

        parent: the row that it was made from (function, seed, concepts, instruction). Samples of an instruction share one prompt.
        """
        frame = self._prefixes.of(parent["id"] if self.step == "responses" else row["id"])
        return frame.shared + frame.around(question(self.step, self._open_example(row, parent)))

    def _open_example(self, row: Mapping[str, Any], parent: Mapping[str, Any]) -> Example | Judged:
        if self.step in ("judge", "concepts"):
            return Judged(parent["content"], "")
        if self.step == "instructions":
            return Example("", row["category"], row["language"], tuple(parent["concepts"]), row["difficulty"], "", "", "")
        return Example("", "", "", (), "", parent["instruction"], "", "")
