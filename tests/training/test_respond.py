import pyarrow as pa
import pytest
from safetensors.torch import load_file, save_file

from selfalign.data.errors import InputError
from selfalign.training.model import load_tokenizer
from selfalign.training.respond import load_tuned, stream_response
from selfalign.training.trainer import train_model

LEARNED = "naïve # one ## two"


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    """A model that has learned by heart to answer `stop` with a text up to ###, and `end` with that text and EOS."""
    from .conftest import TRAINING

    rows = [
        {"id": "a", "instruction": "stop", "response": f"{LEARNED} ### more of it"},
        {"id": "b", "instruction": "end", "response": LEARNED},
    ]
    training = {**TRAINING, "epochs": 150, "learning_rate": 0.01, "save_steps": 1000}
    cfg = {"model": {"path": str(base), "revision": "", "context": 0}, "training": training, "seed": 1}
    return load_tuned(str(train_model(pa.Table.from_pylist(rows), cfg, tmp_path_factory.mktemp("cache")).model))


def test_response_ends_at_eos(tuned):
    pieces = list(stream_response(*tuned, "end"))
    assert "".join(pieces) == LEARNED
    assert len(pieces) > 5
    assert not any("\ufffd" in piece for piece in pieces)


def test_response_ends_at_the_heading_of_another_section(tuned):
    assert "".join(stream_response(*tuned, "stop")) == f"{LEARNED} "


def test_a_prefix_is_said_first_and_continued(tuned):
    pieces = list(stream_response(*tuned, "end", prefix="naïve #"))
    assert pieces[0] == "naïve #" and "".join(pieces) == LEARNED


def test_no_more_tokens_than_asked(tuned):
    assert "".join(stream_response(*tuned, "end", max_new_tokens=3)) == "na"  # the third token is half of the next letter


def test_what_cannot_answer_says_so(base, tuned):
    with pytest.raises(InputError, match="chat template"):
        load_tuned(str(base))
    for missing in ("results/nowhere", "results-mine/model", "./nowhere"):
        with pytest.raises(InputError, match=f"{missing}: no such folder; name the model with --model"):
            load_tuned(missing)
    with pytest.raises(InputError, match="shorten"):
        list(stream_response(*tuned, "long " * 600))


def test_a_damaged_folder_is_one_line(base, tmp_path):
    load_tokenizer({"path": str(base), "revision": ""}).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    weights = (base / "model.safetensors").read_bytes()
    for damaged in (weights[:1000], b"", weights[:-100]):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot be loaded \(.*\); give the folder of a tuned model with --model") as error:
            load_tuned(str(tmp_path))
        assert "\n" not in str(error.value)
    (tmp_path / "model.safetensors").unlink()
    some = {name: tensor for name, tensor in load_file(base / "model.safetensors").items() if "layers.1.mlp" not in name}
    save_file(some, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"its weights lack model\.layers\.1\.mlp"):
        load_tuned(str(tmp_path))
