from selfalign.report.scores import score_table


def model(score):
    return {"greedy": {"score": score}}


def test_base_tuned_and_published_stand_side_by_side():
    evaluation = {"humaneval_plus": {"base": model(0.3), "tuned": model(0.35)}, "livecodebench_self_repair": {"tuned": model(0.1)}}
    evaluation["mine"] = {"base": model(1)}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in score_table(evaluation).splitlines()]
    assert rows[0] == ["benchmark, greedy pass@1", "base", "tuned", "gain", "published base", "published tuned"]
    assert rows[2:] == [
        ["HumanEval+", "30.0", "35.0", "+5.0", "37.8", "63.4"],
        ["LiveCodeBench, self-repair", "", "10.0", "", "", "20.9"],
        ["mine", "100.0", "", "", "", ""],
    ]
