"""Chat models: the examples of a draw are turns of a conversation, written as the model's own template wants it."""

import json

import pytest
from transformers import AutoTokenizer

from selfalign.data.errors import EngineError
from selfalign.generation.chat import ChatForm
from selfalign.generation.draws import PER_ROW, Prefixes, draw_prompts
from selfalign.generation.engines.transformers import TransformersEngine
from selfalign.generation.fewshot import Example, FewShot, Judged
from selfalign.generation.judge import ask_for_verdicts
from selfalign.generation.responses import ask_for_responses

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
SILENT = "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}" + TEMPLATE
STEPS = ("judge", "concepts", "instructions", "responses")
FEWSHOT = FewShot(
    {step: f"Do {step}." for step in STEPS},
    tuple(Example(f"def f{n}(): pass", "c", "Python", ("loop",), "easy", f"Write f{n}.", "", f"[Tests]\n{n}") for n in range(3)),
    tuple(Judged(f"def f{n}(): pass", "Yes" if n % 2 else "No") for n in range(3)),
)
CFG = {step: {"examples": 2, "prefixes": 2, "draws": 1, "temperature": 0.0, "max_new_tokens": 6} for step in STEPS} | {"seed": 1}


@pytest.fixture
def chat_model(tmp_path, save_model, save_tokenizer):
    """A function: a model folder whose tokenizer has this chat template."""

    def made(template: str | None):
        save_model(tmp_path)
        save_tokenizer(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path)
        return {"path": str(tmp_path), "revision": ""}

    return made


def prompts_of(step: str, chat: dict, **part) -> dict:
    return json.loads(json.dumps(draw_prompts(FEWSHOT, step, {**CFG[step], **part}, 1, chat)))


def whole_prompts(asked) -> list[str]:
    return [row.request.prefix + row.request.prompt for row in asked]


def test_a_prompt_is_a_conversation_that_ends_where_the_answer_begins(chat_model):
    prompts = prompts_of("responses", chat_model(TEMPLATE))
    (row,) = ask_for_responses([{"id": "a", "instruction": "Add."}], prompts, CFG)
    drawn = prompts["draws"][Prefixes(prompts).of("a").number]["examples"]
    turns = [f"<user>[Instruction]\nWrite f{at}.\n\n[Response]</><assistant>[Tests]\n{at}</>" for at in drawn]
    start = "<|endoftext|><system>Do responses.</>" + "".join(turns) + "<user>"
    assert row.request.prefix == start, "everything before the row's question is shared"
    assert row.request.prompt == "[Instruction]\nAdd.\n\n[Response]</><assistant>"
    assert row.request.stop == ()


def test_draws_per_row_are_conversations_too(chat_model):
    chat = chat_model(TEMPLATE)
    (row,) = ask_for_responses([{"id": "a", "instruction": "Add."}], prompts_of("responses", chat, prefixes=PER_ROW), CFG)
    assert row.request.prefix == ""
    assert row.request.prompt.count("<user>") == 3 and row.request.prompt.endswith("<user>[Instruction]\nAdd.\n\n[Response]</><assistant>")


@pytest.mark.parametrize("template", [NO_SYSTEM, SILENT])
def test_where_there_is_no_system_turn_the_first_question_has_the_line(template, chat_model):
    (row,) = ask_for_verdicts([{"id": "a", "content": "def g(): pass"}], prompts_of("judge", chat_model(template)), CFG)
    assert row.request.prefix.startswith("<|endoftext|><user>Do judge.\n\n[Code]\ndef f")
    (row,) = ask_for_verdicts([{"id": "a", "content": "def g(): pass"}], prompts_of("judge", chat_model(template), examples=0), CFG)
    assert row.request.prefix + row.request.prompt == "<|endoftext|><user>Do judge.\n\n[Code]\ndef g(): pass\n\n[Verdict]</><assistant>"


def test_the_judge_compares_its_choices_in_a_conversation(chat_model):
    model = chat_model(TEMPLATE)
    asked = ask_for_verdicts([{"id": f"{at}", "content": f"def g{at}(): pass"} for at in range(4)], prompts_of("judge", model), CFG)
    engine = TransformersEngine({**model, "context": 0}, {"device": "cpu", "dtype": "float64", "batch_size": 4, "threads": 1})
    done = list(engine.complete([row.request for row in asked]))
    assert len(done) == 4 and all(len(completion.logprobs) == 2 for completion in done)


def test_a_model_without_a_template_is_one_clear_line(chat_model, tmp_path):
    with pytest.raises(EngineError, match="has no chat template; set model.chat to false"):
        ChatForm(**chat_model(None))
    with pytest.raises(EngineError, match="refuses the conversation .*model.chat"):
        ChatForm(**chat_model("{{ raise_exception('never') }}")).render("judge", "Do.", [])
    with pytest.raises(EngineError, match="no usable tokenizer"):
        ChatForm(str(tmp_path / "nowhere"))
