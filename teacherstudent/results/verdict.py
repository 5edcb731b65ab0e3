"""The verdict of a comparison: one line that says what was found, and what could have been found."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import special

from teacherstudent.results.comparable import Fault
from teacherstudent.results.deviations import Test

# A test that needs a larger z than this to notice anything decides nothing (fewer than 6 seeds).
WEAK = 10.0
BLIND = 1.0  # nor does one that could not see an error of the learning rate by this relative amount
SIGNIFICANT = 0.99  # of chi squared, where a bias is measured with several N
FALSE = (
    "DISAGREE",
    "INVALID",
    "AGREE DESPITE DIFFERENT PROBLEMS",
)  # how verdicts begin that confirm nothing


class Report(NamedTuple):
    """What is found at one N: the answer's variables, the largest deviations by name, and the tests
    of directions.
    """

    data: xr.Dataset
    largest: dict[str, dict]
    tests: list[Test]
    below_floor: float | None  # the time from which on eps_g is rounding
    only_start: bool  # no time but t = 0 was compared


def confirms(verdict: str) -> bool:
    """Whether a verdict leaves nothing to be mended: theory and networks agree, or it is not yet
    decided.
    """
    return not verdict.startswith(FALSE)


def verdict_of(reports: Sequence[Report], facts: Mapping, rate: str, fault: Fault | None) -> str:
    """One line on the largest N; `rate` is what the problem calls the speed of learning."""
    report, N, seeds = reports[-1], facts["N"][-1], facts["seeds"][-1]
    if fault is not None:
        end = "." if fault.refutes else "; nothing can be compared with such numbers."
        return f"{'DISAGREE' if fault.refutes else 'INVALID'} at N = {N}: {fault.sentence}{end}"
    line = _decision(reports, N, seeds, facts["N"], rate) + _on_equivalence(report)
    if facts["below_floor"] is not None:
        line += (
            f" eps_g is below its floor of rounding after t = {facts['below_floor']:.4g}; it is "
            "not compared there."
        )
    if "exponents" in facts:
        fits = ", ".join(
            f"{name} {value:.2f} +- {error:.2f}"
            for name, (value, error) in facts["exponents"].items()
        )
        line += f" One network's deviation falls as N to the power: {fits} (theory: -0.5)."
    if facts["times_compared"] < facts["times_of_theory"]:
        line += (
            f" Only {facts['times_compared']} of the theory's {facts['times_of_theory']} times "
            "were simulated."
        )
    if facts["differences"]:
        line = (
            line.replace("AGREE", "AGREE DESPITE DIFFERENT PROBLEMS", 1)
            if line.startswith("AGREE")
            else line
        )
        line += f" NOTE: theory and simulation differ in {', '.join(facts['differences'])}."
    return line


def _decision(
    reports: Sequence[Report], N: int, seeds: int, sizes: Sequence[int], rate: str
) -> str:
    report = reports[-1]
    if not report.largest:
        return (
            f"UNDECIDED at N = {N}: eps_g is below its floor of rounding at all times, and "
            "nothing else is compared."
        )
    name, worst = max(report.largest.items(), key=_contradiction)
    where = f"largest deviation in {name}: {abs(worst['deviation']):.2g} at t = {worst['time']:.4g}"
    if seeds < 2:
        return f"UNDECIDED at N = {N}: one seed has no standard error ({where}); use more seeds."
    where += f" +- {worst['standard_error']:.2g}"
    beyond = [
        key
        for key, one in report.largest.items()
        if one["bias_coefficient"] > one["allowed_coefficient"]
    ]
    window = any(not _coefficient_stays(key, reports, sizes) for key in beyond)
    against = [
        test for test in report.tests if test.excess > 1 and not _is_bias(test, reports, sizes)
    ]
    if window:
        line = (
            f"DISAGREE at N = {N}: {where}, z = {worst['z']:.1f}; a finite-size bias would need "
            f"the coefficient {worst['bias_coefficient']:.2g}/N, more than "
            f"{worst['allowed_coefficient']:.2g}/N."
        )
        return line + _looks_like(against, rate)
    if against:
        first = max(against, key=lambda test: test.excess)
        z = abs(first.estimate / first.standard_error)
        return (
            f"DISAGREE at N = {N}: all seeds together have z = {z:.1f}, by chance up to "
            f"{first.critical:.1f} ({where})." + _looks_like(against, rate)
        )
    if report.only_start:
        return (
            f"UNDECIDED at N = {N}: only t = 0 was compared, where both begin; simulate later "
            "times of the theory."
        )
    if worst["critical_z"] > WEAK:
        return (
            f"UNDECIDED at N = {N}: with {seeds} seeds chance alone reaches z = "
            f"{worst['critical_z']:.0f}; largest z = {worst['z']:.1f} in {name} ({where}); use at "
            "least 6 seeds."
        )
    sight = _sight(report.tests, rate)
    if sight is None:
        return (
            f"UNDECIDED at N = {N}: the seeds scatter so much, or the times are so short, that "
            f"not even an error of 100 % in the {rate} would have been seen ({where}); use more "
            "seeds, a larger N or later times."
        )
    bias = max(one.get("bias_coefficient", 0.0) for one in report.largest.values())
    measured = bool(beyond) or any(test.excess > 1 for test in report.tests)
    if bias == 0 and not any(test.excess > 0 for test in report.tests):
        return (
            f"AGREE at N = {N} within the statistical error of {seeds} seeds: largest z = "
            f"{worst['z']:.1f} in {name}, by chance up to {worst['critical_z']:.1f} "
            f"({where}){sight}"
        )
    how = ", which falls as 1/N as the sizes show" if measured else ""
    size = _bias(report, N)
    return (
        f"AGREE at N = {N} within the statistical error of {seeds} seeds plus a finite-size bias "
        f"of {size:.1f}/N ({size / N:.2%}){how} ({where}){sight}"
    )


def _on_equivalence(report: Report) -> str:
    """What a test error says that is not the Gaussian prediction."""
    gap = report.largest.get("test_error", {})
    if not gap.get("bias_coefficient", 0.0) > gap.get("allowed_coefficient", 0.0):
        return ""
    return (
        " GAUSSIAN EQUIVALENCE FAILS: the test error differs from the Gaussian prediction at the "
        f"networks' own overlaps by {abs(gap['deviation']):.2g} +- {gap['standard_error']:.2g} at "
        f"t = {gap['time']:.4g}."
    )


def _contradiction(item: tuple[str, dict]) -> tuple[float, float]:
    """What makes one deviation worse than another: the bias that it needs over what is allowed,
    then z.
    """
    one = item[1]
    ratio = one.get("bias_coefficient", 0.0) / max(
        one.get("allowed_coefficient", 0.0), np.finfo(float).tiny
    )
    return ratio, one.get("z", abs(one["deviation"]))


def _bias(report: Report, N: int) -> float:
    """The coefficient of the bias that chance leaves to explain, relative to what it is a bias of."""
    of_windows = [one.get("bias_coefficient", 0.0) for one in report.largest.values()]
    of_tests = [
        N * max(0.0, abs(test.estimate) - test.critical * test.standard_error)
        for test in report.tests
    ]
    return max(of_windows + of_tests)


def _sight(tests: Sequence[Test], rate: str) -> str | None:
    """What would have been found, as the end of a sentence; None if that is nothing worth finding."""
    seen = {test.direction: test.seen for test in tests if test.direction in ("time", "motion")}
    if seen.get("time", np.inf) < BLIND:
        return f"; would have seen an error of {_percent(seen['time'])} in the {rate}."
    if seen.get("motion", np.inf) < BLIND:
        return (
            f"; would have seen an error of {_percent(seen['motion'])} in how far the order "
            f"parameters move, but none in the {rate}."
        )
    return None


def _looks_like(tests: Sequence[Test], rate: str) -> str:
    """What the deviations look like, if a direction of a meaning is among them."""
    by_direction = {test.direction: test for test in tests}
    if "time" not in by_direction:
        return ""
    test = by_direction["time"]
    pace, rate = "larger" if test.estimate > 0 else "smaller", rate.split(" (")[0]
    return (
        f" If the {rate} were all that is wrong, that of the networks would be "
        f"{_percent(abs(test.estimate))} +- {_percent(test.standard_error)} {pace}."
    )


def _coefficient_stays(name: str, reports: Sequence[Report], sizes: Sequence[int]) -> bool:
    """Whether a variable's deviation needs the same coefficient c of a bias c / N at the smallest
    and at the largest N.

    That of a deviation that does not fall grows with N, faster than N where chance hides part of it
    at the smallest.
    """
    found = [report.largest.get(name, {}).get("bias_coefficient", 0.0) for report in reports]
    return sizes[-1] >= 2 * sizes[0] and 0 < found[-1] <= 1.5 * found[0]


def _percent(value: float) -> str:
    return f"{100 * value:.2g} %"


def _is_bias(test: Test, reports: Sequence[Report], sizes: Sequence[int]) -> bool:
    """Whether the same test at several N shows a deviation that falls as 1 / N, and does not stay."""
    same = [
        other
        for report in reports
        for other in report.tests
        if other[:2] == test[:2] and other.times[1] == test.times[1]
    ]
    if len(same) < 2 or len(same) != len(sizes):
        return False
    found = np.array([one.estimate for one in same])
    errors = np.array([one.standard_error for one in same])

    def misfit(shape: np.ndarray) -> float:
        weight = 1 / errors**2
        size = (weight * shape * found).sum() / (weight * shape**2).sum()
        return float((((found - size * shape) / errors) ** 2).sum())

    falls, stays = misfit(1 / np.asarray(sizes, float)), misfit(np.ones(len(sizes)))
    return bool(falls < stays and falls < special.chdtri(len(same) - 1, 1 - SIGNIFICANT))
