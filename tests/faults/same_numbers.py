"""Simulations that must give the same bits: slow, fast, cut anywhere, and recorded at other
times.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import teacherstudent as ts
from tests.faults.trial import Trial
from tests.sims.clocks import CLOCKS, bytes_of, clock, erratic, last_networks
from tests.sims.interruption import Stopped, stopping_after

PROBLEMS = 40  # random ones, at share 1
REDUCED = ("SGD", "SphericalSGD", "HeavyBall", "AGD", "Fromage")
OF_UNIT_ROWS = ("SphericalSGD", "Nero")
RULES = {
    "SGD": ts.SGD(0.3, weight_decay=0.1),
    "SphericalSGD": ts.SphericalSGD(0.3),
    "HeavyBall": ts.HeavyBall(0.05, beta=0.9),
    "AGD": ts.AGD(),
    "Fromage": ts.Fromage(0.4, p_bound=1.5),
    "SignSGD": ts.SignSGD(0.2),
    "Signum": ts.Signum(0.2, beta=0.8),
    "MajorityVote": ts.MajorityVote(0.2, workers=3),
    "Nero": ts.Nero(0.3, gamma=5.0),
    "Madam": ts.Madam(0.2),
}
ISOTROPIC = {
    "teacher": ts.TeacherStudent(2, "erf", noise=0.2),
    "spike": ts.SpikedCumulant(5.0),
    "two spikes": ts.MixedCumulant(2.0, 5.0, coupling="sign"),
    "clusters": ts.GaussianMixture.xor(0.3),
    "boxes": ts.BoxMixture([0.4, 0.6], [1, -1], [[[-1, 1], [0, 2]], [[-2, 0], [-1, 1]]]),
}
STRUCTURED = {
    "manifold": ts.HiddenManifold(2, "erf", "sign", 0.5, noise=0.1),
    "two layers": ts.HiddenManifold(2, "erf", "tanh", 0.4, layers=(0.75,)),
}


@dataclass
class Case:
    """A simulation without disturbance, which runs once for all trials of it."""

    problem: ts.Problem
    options: dict
    steps: int
    straight: list = field(default_factory=list)

    @property
    def unit(self) -> int:
        return self.problem.updates_per_time(self.options["N"])

    def run(self, steps, **options):
        """The data and the last networks of a run that is recorded at these steps."""
        unit_rows = type(self.problem.rule).__name__ in OF_UNIT_ROWS
        scale = {} if unit_rows else {"scale": 0.7}
        start = ts.random_start(self.problem, self.options["N"], seed=2, **scale)
        times = np.asarray(steps) / self.unit
        with last_networks() as networks:
            data = ts.simulate(
                self.problem, start, times, progress=False, **self.options, **options
            )
        return data, bytes_of(networks)

    def same(self, data, networks) -> bool:
        """Whether a run has the bits of the straight one."""
        usual, last = self.straight
        ends = data.sel(time=usual.time)
        equal = [np.array_equal(ends[name], usual[name]) for name in usual.data_vars]
        return networks == last and all(equal)


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Each disturbance of a mixture and of a chain, and of random problems."""
    rng = np.random.default_rng(seed)
    spike = ts.Problem(ISOTROPIC["spike"], ts.Student(1), RULES["SGD"])
    chosen = {
        "spike": Case(spike, options("float32", "weights", 1000, 5), 300),
        "chain": Case(spike, options("float32", "reduced", 70, 3), 300),
    }
    for _ in range(round(share * PROBLEMS)):
        name, case = random_case(rng)
        chosen[name] = case
    for name, case in chosen.items():
        yield from disturbances(name, case, rng)


def options(dtype: str, method: str, N: int, seeds: int) -> dict:
    return {"dtype": dtype, "method": method, "N": N, "seeds": seeds}


def random_case(rng) -> tuple[str, Case]:
    """A problem with any task and rule, that stays finite for some hundred steps."""
    tasks = ISOTROPIC | STRUCTURED
    task = str(rng.choice(list(tasks)))
    rules = [name for name in RULES if task in ISOTROPIC or name not in OF_UNIT_ROWS]
    rule = str(rng.choice(rules))
    student = ts.Student(int(rng.integers(1, 4)), "erf", train_readout=rule in ("SGD", "Signum"))
    problem = ts.Problem(
        tasks[task], student, RULES[rule], batch_size=int(rng.choice([1, 2, 3, 5]))
    )
    reduced = task in ISOTROPIC and rule in REDUCED and rng.random() < 0.4
    method = "reduced" if reduced else "weights"
    dtype = str(rng.choice(["float32", "float64"]))
    N = int(np.exp(rng.uniform(np.log(40), np.log(1500))))  # blocks of 64 steps down to a few
    case = Case(
        problem, options(dtype, method, N, int(rng.integers(1, 5))), int(rng.integers(150, 500))
    )
    return f"{task}, {rule}, B = {problem.batch_size}, {method}, {dtype}, N = {N}", case


def disturbances(name: str, case: Case, rng) -> Iterator[Trial]:
    """The trials of one case, whose straight run compiles its programs."""
    case.straight[:] = case.run([0, case.steps])

    def with_clock(times) -> bool:
        with clock(times):
            return case.same(*case.run([0, case.steps]))

    def recorded(steps) -> bool:
        return case.same(*case.run(steps))

    def killed(steps, stops, seed: int) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.npz"
            for number, stop in enumerate(stops):
                with clock(erratic(seed + number)), suppress(Stopped), stopping_after(stop):
                    case.run(steps, checkpoint=path)
            return case.same(*case.run(steps, checkpoint=path))

    for speed, times in CLOCKS.items():
        yield Trial(f"{name}: {speed}", lambda times=times: with_clock(times()), may_refuse=False)
    for _ in range(2):
        more = [0, *sorted(set(rng.integers(1, case.steps, 7).tolist())), case.steps]
        stops = sorted(rng.integers(0, case.steps - 1, 2).tolist())
        number = int(rng.integers(1000))
        yield Trial(
            f"{name}: recorded at {more}", lambda more=more: recorded(more), may_refuse=False
        )
        yield Trial(
            f"{name}: killed after {stops}, recorded at {more}",
            lambda more=more, stops=stops, number=number: killed(more, stops, number),
            may_refuse=False,
        )
