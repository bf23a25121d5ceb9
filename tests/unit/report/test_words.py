import pytest
from task_lab.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(2934.4, "2,934"), (41.7, "41.7"), (31.25, "31.2"), (0.5, "0.5"), (None, "n/a")],
)
def test_rates_are_printed_to_what_they_carry(value: float | None, text: str) -> None:
    assert words.rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00031, "310 µs"),
        (0.0123, "12.3 ms"),
        (1.84, "1.84 s"),
        (0.99951, "1 s"),
        (999.7, "1,000 s"),
        (1234.0, "1,234 s"),
        (-0.2, "-200 ms"),
        (None, "n/a"),
    ],
)
def test_times_are_printed_in_the_unit_that_fits(value: float | None, text: str) -> None:
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("items", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_read_as_prose(items: list[str], text: str) -> None:
    assert words.listed(items) == text


@pytest.mark.parametrize(
    ("verdict", "ended", "said"),
    [
        ("PASS", "completed", "Every accepted task is accounted for"),
        ("UNKNOWN", "crashed", "The run ended: crashed."),
        ("UNKNOWN", None, "The run has not ended."),
        ("SOMETHING", "completed", "not enough evidence"),
    ],
)
def test_a_verdict_is_told_in_a_sentence_that_never_flatters(
    verdict: str, ended: str | None, said: str
) -> None:
    assert said in words.verdict_sentence({"verdict": verdict, "ended": ended})
