"""Sabotages of what Prometheus and the generator had to say."""

from __future__ import annotations

from task_lab.mutation.copies import Copy, Record, Unfit
from task_lab.mutation.sabotage import (
    FAIL,
    INVALID,
    RETRIES,
    UNDISTURBED,
    UNKNOWN,
    Sabotage,
)


def empty_an_answer(copy: Copy) -> None:
    """A PromQL query had no answer."""
    empty = {"series": [], "problem": "no data"}
    copy.edit_json("metrics/processed_last.json", lambda one: {**one, **empty})


def lose_an_answer(copy: Copy) -> None:
    """The answer of a PromQL query is not on disk."""
    copy.path("metrics/processed_first.json").unlink()


def miss_a_worker(copy: Copy) -> None:
    """One of the workers was never scraped."""

    def drop(answer: Record) -> None:
        fullest = max(answer["series"], key=lambda one: float(one["points"][-1][1]))
        answer["series"].remove(fullest)

    copy.edit_json("metrics/processed_last.json", drop)
    copy.edit_json("metrics/processed_raw.json", drop)


def count_one_too_many(copy: Copy) -> None:
    """Prometheus counted one task more than the ledger has."""
    copy.count_more(1)


def count_far_too_many(copy: Copy) -> None:
    """Prometheus counted a thousand tasks more than the ledger has."""
    copy.count_more(1_000)


def count_one_too_few(copy: Copy) -> None:
    """Prometheus counted one task less than the ledger has."""
    copy.count_more(-1)


def count_a_success_as_dead(copy: Copy) -> None:
    """A worker counted a task that succeeded as succeeded and as dead."""
    copy.count_more(1, counter="failed")


def let_a_counter_fall(copy: Copy) -> None:
    """A worker's counter began anew in the middle of the run, though nothing was to disturb it."""
    copy.edit_json("metrics/processed_resets.json", _one_more)


def count_a_retry_too_many(copy: Copy) -> None:
    """The workers counted one retry more than were foretold."""
    copy.edit_json("metrics/retried_last.json", _one_more)


def admit_a_slow_generator(copy: Copy) -> None:
    """The generator says that it was at its limit."""
    reasons = ["sum with 1 workers: the generator used 97% of a core, 85% allowed"]
    copy.edit_json("load.json", lambda load: {**load, "verdict": "INVALID", "reasons": reasons})


def use_the_whole_core(copy: Copy) -> None:
    """The generator used a whole core in every phase, and nobody drew the conclusion."""

    def burn(load: Record) -> None:
        for phase in load["phases"].values():
            phase["cpu_share"] = 0.97

    copy.edit_json("load.json", burn)


def lose_what_the_generator_said(copy: Copy) -> None:
    """Of a phase that was sent nothing is known about its generator."""

    def lose(load: Record) -> None:
        load["phases"].pop(next(reversed(load["phases"])))

    copy.edit_json("load.json", lose)


def _one_more(answer: Record) -> None:
    if not answer["series"]:
        raise Unfit
    answer["series"][0]["points"][-1][1] += 1


COUNTERS = (
    Sabotage(empty_an_answer, UNKNOWN, "counts_agree"),
    Sabotage(lose_an_answer, UNKNOWN, "counts_agree"),
    Sabotage(miss_a_worker, FAIL, "counts_agree", UNDISTURBED),
    Sabotage(count_one_too_many, FAIL, "counts_agree", UNDISTURBED),
    Sabotage(count_far_too_many, FAIL, "counts_agree"),
    Sabotage(count_one_too_few, FAIL, "counts_agree", UNDISTURBED),
    Sabotage(count_a_success_as_dead, FAIL, "counts_agree", UNDISTURBED),
    Sabotage(let_a_counter_fall, UNKNOWN, "counts_agree", UNDISTURBED),
    Sabotage(count_a_retry_too_many, FAIL, "retries_counted", (RETRIES,)),
    Sabotage(admit_a_slow_generator, INVALID, "generator_not_the_limit"),
    Sabotage(use_the_whole_core, INVALID, "generator_not_the_limit"),
    Sabotage(lose_what_the_generator_said, UNKNOWN, "generator_not_the_limit"),
)
