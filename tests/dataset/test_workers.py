"""Work on many cases at once: what may meet in memory, and what a death costs."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from tests.dataset.work import hold, obey, square

from renalmap.dataset.workers import Task, Workload, run_tasks
from renalmap.errors import CaseError, DiskSpaceError, LabelError


def tasks(*items):
    return [Task(str(item), item) for item in items]


@pytest.mark.parametrize("jobs", [1, 3])
def test_all_tasks_are_done_and_their_steps_told(jobs):
    told: Counter[str] = Counter()
    outcomes = run_tasks(tasks(3, 1, 4, 15), square, Workload(jobs), lambda name: told.update([name]))
    assert sorted(outcome.result for outcome in outcomes if outcome.result) == [1, 9, 16, 225]
    assert told == {"3": 3, "1": 1, "4": 4, "15": 15}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_case_that_fails_leaves_the_others_alone(jobs):
    orders = tasks("refuse", "a", "run out of memory", "b", "lose permission", "c")
    outcomes = {outcome.task.name: outcome for outcome in run_tasks(orders, obey, Workload(jobs))}
    assert [outcomes[name].result for name in "abc"] == ["a", "b", "c"]
    errors = {name: str(outcome.error) for name, outcome in outcomes.items() if outcome.error}
    assert errors == {
        "refuse": "refuse: a mask holds unknown labels (got 9)",
        "run out of memory": "run out of memory: there was not enough memory for this case. Lower --jobs or "
        "--memory-gb; what is finished is kept, and the same command continues",
        "lose permission": "lose permission: mask.nii.gz: Permission denied",
    }
    assert type(outcomes["run out of memory"].error) is CaseError
    assert type(outcomes["refuse"].error) is LabelError


def test_a_killed_process_costs_its_own_case():
    orders = tasks("a", "be killed", "b", "exit", "c", "d")
    outcomes = {outcome.task.name: outcome for outcome in run_tasks(orders, obey, Workload(2))}
    assert [outcomes[name].result for name in "abcd"] == list("abcd")
    assert str(outcomes["be killed"].error) == (
        "be killed: the process working on this case was ended (got signal 9 (SIGKILL), which the system "
        "sends when memory runs out). Lower --jobs or --memory-gb; what is finished is kept, and the same "
        "command continues"
    )
    assert "(got exit code 7)" in str(outcomes["exit"].error)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_ends_everything(jobs):
    with pytest.raises(DiskSpaceError, match=r"hu\.b2nd: the disk is full .*while fill the disk was"):
        list(run_tasks(tasks("fill the disk", "a"), obey, Workload(jobs)))


def test_a_mistake_in_the_code_is_no_case_error():
    with pytest.raises(RuntimeError, match=r"(?s)be wrong: Traceback.*ZeroDivisionError: a mistake"):
        list(run_tasks(tasks("be wrong", "a"), obey, Workload(2)))


def test_what_another_process_logs_is_logged_here(caplog):
    with caplog.at_level(logging.WARNING):
        list(run_tasks(tasks("warn", "a"), obey, Workload(2)))
    assert [record.getMessage() for record in caplog.records] == ["warn has intensities out of range"]


def test_cases_that_do_not_fit_together_do_not_meet(tmp_path):
    """Two large ones and a small one in room for one large and one small."""
    wanted = {"large": 80, "huge": 90, "small": 15}
    company: dict[str, set[str]] = {"large": {"small"}, "huge": set(), "small": {"large"}}
    asked = [Task(name, (tmp_path, name, 0.4, company[name]), size) for name, size in wanted.items()]
    outcomes = list(run_tasks(asked, hold, Workload(3, memory_bytes=100)))
    assert len(outcomes) == 3
    met = {frozenset(pair) for outcome in outcomes for pair in _pairs(outcome.result or [])}
    assert frozenset({"large", "huge"}) not in met
    assert frozenset({"large", "small"}) in met, "room for one more is used"
    assert [outcome.task.name for outcome in outcomes][-1] == "huge"


def test_a_case_larger_than_the_budget_runs_alone(tmp_path):
    nobody: set[str] = set()
    asked = [Task(name, (tmp_path, name, 0.1, nobody), 500) for name in ("a", "b")]
    outcomes = list(run_tasks(asked, hold, Workload(2, memory_bytes=100)))
    assert sorted(outcome.result or [] for outcome in outcomes) == [["a"], ["b"]]


def _pairs(names):
    return [(one, other) for one in names for other in names if one < other]


@pytest.mark.parametrize(("jobs", "memory_bytes"), [(0, None), (1, 0), (-2, 5)])
def test_a_workload_of_nothing_is_refused(jobs, memory_bytes):
    with pytest.raises(ValueError, match="at least one"):
        Workload(jobs, memory_bytes)
