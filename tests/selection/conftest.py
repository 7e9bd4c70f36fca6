import pytest

from selfalign.data.files import to_table
from selfalign.data.ids import row_id


@pytest.fixture
def response():
    """A well-formed response about a function called `name`."""

    def make(name="f", body="return x + 1", tests=None, reasoning="Think.", explanation="It adds."):
        tests = f"```python\nassert {name}(1) == 2\n```" if tests is None else tests
        code = f"```python\ndef {name}(x):\n    {body}\n```"
        return f"[Reasoning]\n{reasoning}\n\n[Implementation]\n{code}\n\n[Explanation]\n{explanation}\n\n[Tests]\n{tests}"

    return make


@pytest.fixture
def passed():
    """The tables of some instructions and of their passing responses: {instruction: [response, ...]}."""

    def make(written):
        instructions, executed = [], []
        for number, (text, responses) in enumerate(written.items()):
            instruction = row_id("write_instructions", str(number), 0)
            function = row_id("function", str(number), 0)
            shared = {"function_id": function, "draw": 0, "prefix": 0, "category": "", "language": "Python", "difficulty": "easy"}
            instructions.append({"id": instruction, "concepts_id": f"concepts-{number}", "instruction": text, **shared})
            for sample, response in enumerate(responses):
                row = {"id": row_id("write_responses", instruction, sample), "function_id": function, "instruction_id": instruction, "sample": sample}
                executed.append({**row, "response": response, "verdict": "passed", "detail": ""})
        return to_table(executed, "executed"), to_table(instructions, "instructions")

    return make
