from selfalign.training.examples import Example, epoch_batches, pack, tokenize_rows
from selfalign.training.model import load_tokenizer


def test_example_is_bos_prompt_response_eos(cfg, rows):
    tokenizer = load_tokenizer(cfg["model"])
    data = tokenize_rows(rows.to_pylist(), tokenizer, 512)
    example = data.examples[3]
    assert (data.truncated, data.skipped) == (0, 0)
    assert example.tokens[0] == example.tokens[-1] == tokenizer.eos_token_id
    response = tokenizer.decode(example.tokens[example.prompt : -1])
    assert response == rows.to_pylist()[3]["response"]
    assert tokenizer.decode(example.tokens[: example.prompt]).endswith("### Response\n")


def test_long_examples_are_cut_and_prompts_without_room_skipped_and_counted(cfg, rows):
    tokenizer = load_tokenizer(cfg["model"])
    lengths = {example.id: len(example.tokens) for example in tokenize_rows(rows.to_pylist(), tokenizer, 512).examples}
    longest = max(lengths.values())
    cut = tokenize_rows(rows.to_pylist(), tokenizer, longest - 1)
    assert cut.truncated == 1 and cut.skipped == 0
    assert max(len(example.tokens) for example in cut.examples) == longest - 1
    long_prompt = [{"id": "f" * 16, "instruction": "x " * 400, "response": "y"}]
    skipped = tokenize_rows([*rows.to_pylist(), *long_prompt], tokenizer, 512)
    assert skipped.skipped == 1 and len(skipped.examples) == rows.num_rows


def test_examples_do_not_depend_on_row_order(cfg, rows):
    tokenizer = load_tokenizer(cfg["model"])
    assert tokenize_rows(rows.to_pylist(), tokenizer, 256) == tokenize_rows(rows.to_pylist()[::-1], tokenizer, 256)


def test_each_epoch_has_every_example_once_in_an_order_of_its_own():
    first, again, other = (epoch_batches(10, 4, seed=1, epoch=epoch) for epoch in (0, 0, 1))
    assert first == again != other
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(sum(other, [])) == list(range(10))
    assert epoch_batches(10, 4, seed=2, epoch=0) != first


def test_pack_predicts_the_response_and_its_eos_only():
    packed = pack([Example("a", (1, 2, 3, 4), 2), Example("b", (5, 6, 7), 1)])
    assert packed.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert packed.predicting.tolist() == [1, 2, 4, 5]
    assert packed.targets.tolist() == [3, 4, 6, 7]
    assert packed.borders.tolist() == [0, 4, 7]
