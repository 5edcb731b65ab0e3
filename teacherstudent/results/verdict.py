"""The verdict of a comparison: one line that says what was found, and what could have been."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy  # which loads special, interpolate, ... where they are first used
import xarray as xr

from teacherstudent.results.comparable import Fault
from teacherstudent.results.deviations import Test
from teacherstudent.results.whole_path import Whole

TINY = np.finfo(float).tiny
# A test that needs a larger z than this to notice anything decides nothing (fewer than 6 seeds).
WEAK = 10.0
# Nor does one that could not see an error of the learning rate by this relative amount.
BLIND = 1.0
SIGNIFICANT = 0.99  # of chi squared, where a bias is measured with several N
DIFFERENT = "AGREE DESPITE DIFFERENT PROBLEMS"
FALSE = ("DISAGREE", "INVALID", DIFFERENT)  # how verdicts begin that confirm nothing


class Report(NamedTuple):
    """The comparison at one N.

    It has the answer's variables, the largest deviations by name, the tests of directions, and
    those of the whole path where the theory has a band.
    """

    data: xr.Dataset
    largest: dict[str, dict]
    tests: list[Test]
    whole: Whole | None
    below_floor: float | None  # the time from which on eps_g is rounding
    only_start: bool  # no time but t = 0 was compared


def confirms(verdict: str) -> bool:
    """Whether a verdict leaves nothing to be mended: theory and networks agree, or it is not yet
    decided.
    """
    return not verdict.startswith(FALSE)


def verdict_of(
    reports: Sequence[Report], record: Mapping[str, Any], rate: str, fault: Fault | None
) -> str:
    """One line on the largest N; `rate` is what the problem calls the speed of learning.

    `record` holds the sizes `N`, their `seeds`, and what else the comparison says of itself.
    """
    return _decided(reports, record, rate, fault) + _on_fixed_samples(record.get("fixed_samples"))


def _on_fixed_samples(data: Mapping[str, Any] | None) -> str:
    """That the theory is not of a fixed training set, if the networks had one."""
    if data is None:
        return ""
    return (
        f" NOTE: the networks trained on {data['samples']} fixed samples (data, "
        f"{data['passes']:.3g} passes), and the theory is of fresh samples at each update."
    )


def _decided(
    reports: Sequence[Report], record: Mapping[str, Any], rate: str, fault: Fault | None
) -> str:
    """The verdict but for how the samples of the networks were drawn."""
    N = record["N"][-1]
    if fault is not None:
        if fault.refutes:
            return f"DISAGREE at N = {N}: {fault.sentence}."
        return f"INVALID at N = {N}: {fault.sentence}; nothing can be compared with such numbers."
    decision = Decision(reports, record["N"], record["seeds"][-1], rate)
    line = decision.sentence() + _on_equivalence(reports[-1]) + _on_scatter(reports[-1].whole)
    if record["below_floor"] is not None:
        line += (
            f" eps_g is below its floor of rounding after t = {record['below_floor']:.4g}; it is "
            "not compared there."
        )
    if record.get("exponents"):
        fits = []
        for name, (exponent, error) in record["exponents"].items():
            fits.append(f"{name} {exponent:.2f} +- {error:.2f}")
        line += (
            f" One network's deviation falls as N to the power: {', '.join(fits)} (theory: -0.5)."
        )
    if record["times_compared"] < record["times_of_theory"]:
        line += (
            f" Only {record['times_compared']} of the theory's {record['times_of_theory']} times "
            "were simulated."
        )
    if record["differences"]:
        if line.startswith("AGREE"):
            line = DIFFERENT + line.removeprefix("AGREE")
        line += f" NOTE: theory and simulation differ in {', '.join(record['differences'])}."
    return line


class Decision:
    """Whether theory and networks agree, disagree, or nothing can be said, at the largest N."""

    def __init__(self, reports: Sequence[Report], sizes: Sequence[int], seeds: int, rate: str):
        self.reports = reports
        self.report = reports[-1]
        self.sizes = sizes
        self.N = sizes[-1]
        self.seeds = seeds
        self.rate = rate

    def sentence(self) -> str:
        """The decision with its reason."""
        if not self.report.largest:
            return (
                f"UNDECIDED at N = {self.N}: eps_g is below its floor of rounding at all times, "
                "and nothing else is compared."
            )
        if self.seeds < 2:
            return (
                f"UNDECIDED at N = {self.N}: one seed has no standard error ({self.place()}); use "
                "more seeds."
            )
        return self.contradiction() or self.lack_of_evidence() or self.agreement()

    @property
    def worst(self) -> tuple[str, dict[str, float]]:
        """The variable whose deviation says most against the theory, and that deviation."""
        return max(self.report.largest.items(), key=_weight_of_evidence)

    def place(self) -> str:
        """Where the worst deviation is."""
        name, worst = self.worst
        where = f"largest deviation in {name}: {abs(worst['deviation']):.2g}"
        where += f" at t = {worst['time']:.4g}"
        if self.seeds > 1:
            where += f" +- {worst['standard_error']:.2g}"
        return where

    def beyond_bias(self) -> list[str]:
        """The variables whose deviations are larger than chance and finite size allow."""
        return [
            name
            for name, one in self.report.largest.items()
            if one["bias_coefficient"] > one["allowed_coefficient"]
        ]

    def contradiction(self) -> str | None:
        """Why theory and networks disagree, if they do.

        A deviation that is larger than allowed is none if several N show that it falls as 1 / N.
        """
        against = []
        for test in self.report.tests:
            if test.excess > 1 and not _is_bias(test, self.reports, self.sizes):
                against.append(test)
        stays = [
            name
            for name in self.beyond_bias()
            if not _coefficient_stays(name, self.reports, self.sizes)
        ]
        if stays:
            _, worst = self.worst
            return (
                f"DISAGREE at N = {self.N}: {self.place()}; the largest z over a window of times "
                f"is {worst['z']:.1f}; a finite-size bias would need the "
                f"coefficient {worst['bias_coefficient']:.2g}/N, more than "
                f"{worst['allowed_coefficient']:.2g}/N." + _looks_like(against, self.rate)
            )
        if against:
            first = max(against, key=_excess)
            z = abs(first.estimate / first.standard_error)
            return (
                f"DISAGREE at N = {self.N}: all seeds together have z = {z:.1f}, by chance up to "
                f"{first.critical:.1f} ({self.place()})." + _looks_like(against, self.rate)
            )
        return self.contradiction_by_band()

    def contradiction_by_band(self) -> str | None:
        """Why networks are not as the band predicts, if that is so."""
        whole = self.report.whole
        if whole is None:
            return None
        if whole.scatters_otherwise:
            return f"DISAGREE at N = {self.N}: the networks do not scatter as predicted."
        if whole.misfits:
            return (
                f"DISAGREE at N = {self.N}: the whole path has chi squared = {whole.misfit:.1f} in "
                f"{whole.components} components, by chance up to {whole.critical_misfit:.1f} "
                f"({self.place()})."
            )
        return None

    def lack_of_evidence(self) -> str | None:
        """Why nothing can be said, if that is so."""
        name, worst = self.worst
        if self.report.only_start:
            return (
                f"UNDECIDED at N = {self.N}: only t = 0 was compared, where both begin; simulate "
                "later times of the theory."
            )
        if worst["critical_z"] > WEAK:
            return (
                f"UNDECIDED at N = {self.N}: with {self.seeds} seeds chance alone reaches z = "
                f"{worst['critical_z']:.0f}; largest z = {worst['z']:.1f} in {name} "
                f"({self.place()}); use at least 6 seeds."
            )
        if _sight(self.report.tests, self.rate) is None:
            return (
                f"UNDECIDED at N = {self.N}: the seeds scatter so much, or the times are so short, "
                f"that not even an error of 100 % in the {self.rate} would have been seen "
                f"({self.place()}); use more seeds, a larger N or later times."
            )
        return None

    def agreement(self) -> str:
        """How well theory and networks agree."""
        name, worst = self.worst
        sight = _sight(self.report.tests, self.rate)
        within = f"AGREE at N = {self.N} within the statistical error of {self.seeds} seeds"
        bias = _bias(self.report, self.N)
        if bias == 0:
            return (
                f"{within}: largest z = {worst['z']:.1f} in {name}, by chance up to "
                f"{worst['critical_z']:.1f} ({self.place()}){sight}"
            )
        how = ""
        if self.beyond_bias() or any(test.excess > 1 for test in self.report.tests):
            how = ", which falls as 1/N as the sizes show"
        size = f"a finite-size bias of {bias:.1f}/N ({bias / self.N:.2%})"
        if bias > self.N:  # relative to a theory that has become zero, no number says anything
            size = "a finite-size bias, larger than what the theory leaves of a quantity"
        return f"{within} plus {size}{how} ({self.place()}){sight}"


def _standard_error(test: Test) -> float:
    return test.standard_error


def _excess(test: Test) -> float:
    return test.excess


def _weight_of_evidence(item: tuple[str, dict[str, float]]) -> tuple[float, float]:
    """What makes one deviation worse than another: the bias that it needs over what is allowed,
    then z.
    """
    _, one = item
    allowed = max(one.get("allowed_coefficient", 0.0), TINY)
    ratio = one.get("bias_coefficient", 0.0) / allowed
    return ratio, one.get("z", abs(one["deviation"]))


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


def _on_scatter(whole: Whole | None) -> str:
    """How the measured scatter compares with the predicted one, and how long that is known."""
    if whole is None:
        return ""
    line = (
        f" The networks scatter {whole.scatter:.2f} times as much as predicted (by chance "
        f"{whole.least_scatter:.2f} to {whole.largest_scatter:.2f})."
    )
    if not whole.everywhere:
        line += (
            f" The linear theory of fluctuations holds until t = {whole.until:.4g}; later times "
            "are compared without it."
        )
    return line


def _bias(report: Report, N: int) -> float:
    """The coefficient of the bias that chance leaves to explain, relative to what it is a bias
    of.
    """
    coefficients = [one.get("bias_coefficient", 0.0) for one in report.largest.values()]
    coefficients += [N * test.beyond_chance for test in report.tests]
    return max(coefficients)


def _sight(tests: Sequence[Test], rate: str) -> str | None:
    """What would have been found, as the end of a sentence; None if nothing worth finding."""
    seen: dict[str, float] = {}
    for test in tests:
        seen[test.direction] = min(test.seen, seen.get(test.direction, np.inf))
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
    of_rate = [test for test in tests if test.direction == "time"]
    if not of_rate:
        return ""
    test = min(of_rate, key=_standard_error)
    rate = rate.split(" (")[0]
    pace = "smaller"
    if test.estimate > 0:
        pace = "larger"
    return (
        f" If the {rate} were all that is wrong, that of the networks would be "
        f"{_percent(abs(test.estimate))} +- {_percent(test.standard_error)} {pace}."
    )


def _coefficient_stays(name: str, reports: Sequence[Report], sizes: Sequence[int]) -> bool:
    """Whether the smallest and the largest N need the same coefficient c of a bias c / N.

    That of a deviation that does not fall grows with N, faster than N where chance hides part of it
    at the smallest.
    """
    found = [report.largest.get(name, {}).get("bias_coefficient", 0.0) for report in reports]
    return sizes[-1] >= 2 * sizes[0] and 0 < found[-1] <= 1.5 * found[0]


def _is_bias(test: Test, reports: Sequence[Report], sizes: Sequence[int]) -> bool:
    """Whether the same test at several N shows a deviation that falls as 1 / N, and does not
    stay.
    """
    same = []
    for report in reports:
        same += [other for other in report.tests if other.is_repetition_of(test)]
    if len(same) < 2 or len(same) != len(sizes):
        return False
    falls = _misfit(same, 1 / np.asarray(sizes, float))
    stays = _misfit(same, np.ones(len(sizes)))
    likely = scipy.special.chdtri(len(same) - 1, 1 - SIGNIFICANT)
    return bool(falls < stays and falls < likely)


def _misfit(tests: Sequence[Test], shape: np.ndarray) -> float:
    """Chi squared of the best fit of estimates by a multiple of a shape."""
    estimates = np.array([test.estimate for test in tests])
    errors = np.array([test.standard_error for test in tests])
    weight = 1 / errors**2
    size = (weight * shape * estimates).sum() / (weight * shape**2).sum()
    return float((((estimates - size * shape) / errors) ** 2).sum())


def _percent(value: float) -> str:
    return f"{100 * value:.2g} %"
