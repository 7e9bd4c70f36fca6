import pyarrow as pa
import pytest

from selfalign.data.errors import InputError
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
    with pytest.raises(InputError, match="snakemake --cores all results/nowhere"):
        load_tuned("results/nowhere")
    with pytest.raises(InputError, match="shorten"):
        list(stream_response(*tuned, "long " * 600))
