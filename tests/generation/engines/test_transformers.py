"""The transformers engine: completions depend on their row alone, and equal what plain transformers computes."""

import random
import re
import shutil
from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertModel, Gemma2Config, LlamaConfig, MistralConfig, Qwen2Config

from selfalign.data.errors import EngineError
from selfalign.generation.engines import Request

ONE = [Request("a", "", "def", 0, 0.0, 2, ())]


def run(engine, requests) -> dict[str, tuple]:
    """By row: all that must not depend on others (the shared prefix's cost does)."""
    done = {
        c.id: (c.text, c.finish_reason, c.output_tokens, c.prompt_tokens, tuple(round(x, 9) for x in c.logprobs)) for c in engine.complete(requests)
    }
    assert set(done) == {request.id for request in requests}
    return done


def test_a_row_alone_equals_the_row_in_a_batch(engine, requests):
    together = run(engine, requests)
    alone = {}
    for request in requests:
        alone |= run(engine, [request])
    assert alone == together
    assert {value[1] for value in together.values()} == {"stop", "length"}


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_order_and_batch_size_do_not_matter(model_folder, engine, requests, batch_size, opened):
    other = opened(model_folder, batch_size=batch_size)
    shuffled = random.Random(batch_size).sample(requests, len(requests))
    assert run(other, shuffled) == run(engine, requests)


def test_many_rows_in_few_chunks_of_the_cache(model_folder, engine, opened):
    """More rows than a chunk holds, of very different lengths, so that rows move between chunks."""
    requests = [Request(f"{at}", "Example\n" * (at % 2), "x" * (1 + at * 7 % 50), at, 1.0, 2 + at * 11 % 30, ("e",)) for at in range(150)]
    wide = opened(model_folder, batch_size=100)
    assert run(wide, requests) == run(engine, requests)


def test_splitting_a_prompt_into_prefix_and_rest_does_not_change_its_continuation(engine, requests):
    whole = [replace(request, prefix="", prompt=request.prefix + request.prompt) for request in requests]
    assert run(engine, whole) == run(engine, requests)


def test_greedy_equals_plain_generate(model_folder, engine):
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float64)
    prefix, prompt = "### Example 1\n", "[Code]\ndef add(a, b):\n"
    ids = torch.tensor([engine.tokenizer.encode(prefix + prompt)])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    (completion,) = engine.complete([Request("a", prefix, prompt, 0, 0.0, 40, ())])
    assert completion.text == engine.tokenizer.decode(expected, skip_special_tokens=True)


def test_sampling_follows_the_model(model_folder, engine):
    """First tokens of many seeds have the frequencies that the model gives them."""
    prompt = "[Code]\n"
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float64)
    logits = model(torch.tensor([engine.tokenizer.encode(prompt)])).logits[0, -1]
    probabilities = torch.softmax(logits.detach() / 0.8, -1)
    count = 4000
    completions = list(engine.complete([Request(f"{seed}", "", prompt, seed, 0.8, 1, ()) for seed in range(count)]))
    token = int(probabilities.argmax())
    share = sum(c.text == engine.tokenizer.decode([token]) for c in completions) / count
    expected = probabilities[token].item()
    assert abs(share - expected) < 4 * (expected * (1 - expected) / count) ** 0.5


def test_choices_are_compared_by_their_whole_text(model_folder, engine):
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float64)
    choices = ("Yes", "No", "Yes, list of strings")
    (completion,) = engine.complete([Request("a", "### Example 1\n", "[Verdict]\n", 0, 0.0, 4, (), choices)])
    prompt = engine.tokenizer.encode("### Example 1\n[Verdict]\n")
    for choice, logprob in zip(choices, completion.logprobs, strict=True):
        tokens = engine.tokenizer.encode(choice)
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1)[range(len(tokens)), tokens].sum().item()
        assert logprob == pytest.approx(expected, abs=1e-4)
    assert completion.text == choices[max(range(3), key=completion.logprobs.__getitem__)]


def test_a_completion_ends_before_its_stop_string(engine, requests):
    sampled = [replace(request, temperature=1.0, stop=(), choices=()) for request in requests]
    free = {c.id: c for c in engine.complete(sampled)}
    stop = next(c.text[3:5] for c in free.values() if len(c.text) > 8)
    for completion in engine.complete([replace(request, stop=(stop,)) for request in sampled]):
        text = free[completion.id].text
        if stop in text:
            assert (completion.text, completion.finish_reason) == (text[: text.index(stop)], "stop")
        else:
            assert completion.text == text


def test_a_shared_prefix_is_computed_once(engine):
    prefix = "### Example 1\n[Code]\ndef add(a, b):\n    return a + b\n\n"
    completions = list(engine.complete([Request(f"{at}", prefix, f"{at}\n", at, 1.0, 3, ()) for at in range(20)]))
    shared = len(engine.tokenizer.encode(prefix))
    assert sum(c.prompt_tokens - c.computed_tokens for c in completions) == shared * 19
    judged = [Request(f"{at}", prefix, f"{at} " * 50 + "\n", at, 0.0, 4, (), ("Yes", "No")) for at in range(40)]  # more than one pass takes
    assert sum(c.prompt_tokens - c.computed_tokens for c in engine.complete(judged)) == shared * 39


def test_samples_of_one_prompt_compute_it_once_and_are_what_they_are_alone(engine):
    """Also where samples wait for a slot, and where the first one has ended before the others begin."""
    prompts = ["[Code]\ndef add(a, b):\n", "List the concepts.\n", "x"]
    requests = [Request(f"{p} {at}", "### Example 1\n", prompts[p], at, 1.0, 1 + 9 * (at % 3), ()) for p in range(3) for at in range(12)]
    together = list(engine.complete(requests))
    alone = {}
    for request in requests:
        alone |= run(engine, [request])
    assert run(engine, requests) == alone
    assert sum(c.computed_tokens for c in together) < sum(c.prompt_tokens for c in together) / 3


def test_a_row_that_does_not_fit_the_context_is_said_to_be_too_long(engine):
    requests = [
        Request("long", "", "x" * 250, 0, 0.0, 20, ()),
        Request("prefix", "x" * 300, "x", 0, 0.0, 20, ()),
        Request("fits", "", "x" * 20, 0, 0.0, 20, ()),
    ]
    done = {c.id: c for c in engine.complete(requests)}
    assert [done[row].finish_reason == "prompt_too_long" for row in ("long", "prefix", "fits")] == [True, True, False]
    assert re.search(r"\d+ prompt tokens and 20 new ones, context 256", done["long"].detail)


def test_the_context_can_be_set_lower(model_folder, opened):
    engine = opened(model_folder, context=30)
    (completion,) = engine.complete([Request("a", "", "x" * 20, 0, 0.0, 20, ())])
    assert completion.finish_reason == "prompt_too_long"


FAMILIES = {
    "llama": LlamaConfig(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2),
    "qwen2": Qwen2Config(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2),
    "mistral with a sliding window": MistralConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, sliding_window=9
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_other_architectures_give_what_plain_generate_gives(tmp_path, family, opened, save_tokenizer):
    save_tokenizer(tmp_path)
    torch.manual_seed(1)
    config = FAMILIES[family]
    config.bos_token_id = config.eos_token_id = 0
    config.max_position_embeddings = 256
    config.initializer_range = 0.2
    model = AutoModelForCausalLM.from_config(config).to(torch.float64).eval()
    model.save_pretrained(tmp_path)
    engine = opened(tmp_path)
    requests = [Request(f"{at}", "### Example 1\n[Code]\n" * (at % 2), f"def add{at}(a, b)" * (1 + at % 3), 0, 0.0, 25, ()) for at in range(6)]
    for completion in engine.complete(requests):
        request = requests[int(completion.id)]
        ids = torch.tensor([engine.tokenizer.encode(request.prefix + request.prompt)])
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=25, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        assert completion.text == engine.tokenizer.decode(expected, skip_special_tokens=True)


def test_a_model_whose_attention_it_cannot_do_is_refused(tmp_path, opened, save_tokenizer):
    save_tokenizer(tmp_path)
    shape = dict(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    AutoModelForCausalLM.from_config(Gemma2Config(**shape)).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="engine.kind to vllm or openai"):
        next(opened(tmp_path).complete(ONE))


def test_what_is_no_usable_model_is_one_clear_line(tmp_path, model_folder, opened, save_model, save_tokenizer):
    without_tokenizer, without_weights, encoder = (tmp_path / name for name in ("no_tokenizer", "no_weights", "encoder"))
    save_model(without_tokenizer)
    save_tokenizer(without_weights)
    AutoConfig.from_pretrained(model_folder).save_pretrained(without_weights)
    save_tokenizer(encoder)
    BertModel(BertConfig(vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)).save_pretrained(encoder)
    cases = {
        tmp_path / "nowhere": "no such folder",
        without_tokenizer: "no usable tokenizer",
        without_weights: "no usable weights",
        encoder: "BertModel is not a causal language model",
    }
    for folder, said in cases.items():
        with pytest.raises(EngineError, match=said) as caught:
            next(opened(folder).complete(ONE))
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)
        assert "model.path" in str(caught.value)


def test_weights_with_a_hole_are_refused(tmp_path, model_folder, opened):
    from safetensors.torch import load_file, save_file

    shutil.copytree(model_folder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.mlp.c_fc.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="model.layers.1.mlp.c_fc.weight"):
        next(opened(tmp_path).complete(ONE))


def test_the_fingerprint_tells_models_and_number_types_apart(tmp_path, model_folder, engine, opened, save_model, save_tokenizer):
    save_tokenizer(tmp_path)
    save_model(tmp_path, seed=1)
    prints = {engine.fingerprint, opened(tmp_path).fingerprint}
    prints.add(opened(model_folder, dtype="float32").fingerprint)
    assert len(prints) == 3
    assert opened(model_folder, batch_size=3, threads=2).fingerprint == engine.fingerprint


def test_the_caller_is_left_in_its_own_mode(engine, requests):
    """Not in inference mode, in which nothing could be trained between two completions."""
    for _ in engine.complete(requests):
        assert not torch.is_inference_mode_enabled()
