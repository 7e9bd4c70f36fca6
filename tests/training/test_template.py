from transformers import AutoTokenizer

from selfalign.data.errors import InputError
from selfalign.training.model import load_tokenizer
from selfalign.training.template import render_prompt, special_tokens

MODEL = {"revision": "", "context": 0}


def test_saved_template_renders_what_training_renders(base, tmp_path):
    load_tokenizer({"path": str(base), **MODEL}).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "user", "content": " Say 'hi'.\n"}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == render_prompt("Say 'hi'.", "<|endoftext|>")
    assert text.startswith("<|endoftext|>") and text.endswith("\n\n### Instruction\nSay 'hi'.\n\n### Response\n")


def test_template_closes_every_response_with_eos(base):
    tokenizer = load_tokenizer({"path": str(base), **MODEL})
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}, {"role": "user", "content": "two"}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == render_prompt("one", "<|endoftext|>") + "1<|endoftext|>\n\n### Instruction\ntwo\n\n### Response\n"


def test_missing_bos_is_replaced_by_eos_and_missing_eos_is_refused(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.bos_token = None
    assert special_tokens(tokenizer) == ("<|endoftext|>", "<|endoftext|>")
    tokenizer.eos_token = None
    try:
        special_tokens(tokenizer)
    except InputError as error:
        assert "EOS" in str(error)
    else:
        raise AssertionError("a tokenizer without EOS was accepted")
