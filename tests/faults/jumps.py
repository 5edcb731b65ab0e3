"""Teachers whose output jumps: theory against networks that know nothing of delta functions.

`python -m tests.faults.jumps` prints the largest z over all recorded times and entries, for each
teacher, student, law of the inputs and what is trained: (mean over networks - theory) over the
standard error of the mean, where a bias of `BIAS` / N of the largest entry, which networks of
finite size have, counts as an error as well.
"""

import itertools
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import teacherstudent as ts
from tests.faults.trial import Trial

TEACHERS = {
    "sign": "sign",
    "sign, a function": jnp.sign,
    "step": ts.Activation("step at 0.3", lambda x: jnp.where(x > 0.3, 1.0, 0.0), kinks=(0.3,)),
    "step, not named": lambda x: jnp.where(x > 0.3, 1.0, 0.0),
    "x + sign x": lambda x: x + jnp.sign(x),
    "stairs": lambda x: jnp.clip(jnp.round(x), -1.0, 1.0),
}
STUDENTS = {"linear": "linear", "erf": "erf", "relu": "relu", "leaky": jax.nn.leaky_relu}
INPUTS = ("isotropic", "manifold", "power law")
RULES = ("SGD", "both layers", "SphericalSGD", "HeavyBall")
JUMPING_STUDENTS = {
    "sign": "sign",
    "step": "step",
    "function": lambda x: jnp.tanh(x) + jnp.where(x > 0.1, 0.01, 0.0),
}
N, SEEDS, TIMES, BIAS = 400, 24, (0.0, 0.5, 1.5, 4.0), 2.0


def problem_of(teacher: str, student: str, inputs: str, rule: str) -> ts.Problem:
    """The problem of one row of the table, with K = 2 and M = 1."""
    both = rule == "both layers"
    rules = {
        "SGD": ts.SGD(0.2),
        "both layers": ts.SGD(0.2, readout_learning_rate=0.1),
        "SphericalSGD": ts.SphericalSGD(0.2),
        "HeavyBall": ts.HeavyBall(0.1, beta=0.5),
    }
    tasks = {
        "isotropic": lambda g: ts.TeacherStudent(1, g, noise=0.1),
        "manifold": lambda g: ts.HiddenManifold(
            1, g, noise=0.1, nonlinearity="sign", latent_ratio=0.5
        ),
        "power law": lambda g: ts.GaussianEquivalent.anisotropic(
            ts.power_law(N, 1.2), width=1, activation=g, noise=0.1
        ),
    }
    return ts.Problem(
        tasks[inputs](TEACHERS[teacher]),
        ts.Student(2, STUDENTS[student], train_readout=both),
        rules[rule],
    )


def start_of_units(problem: ts.Problem, inputs: str):
    """Isotropic inputs: overlaps of order one, and unit vectors; others: random weights."""
    if inputs != "isotropic":
        return ts.random_start(problem, N=N, seed=1)
    return ts.OrderParameters(Q=[[1.0, 0.2], [0.2, 1.0]], R=[[0.3], [0.1]], v=[0.8, 0.6])


def largest_z(teacher: str, student: str, inputs: str, rule: str) -> float:
    """The largest deviation of theory and networks over its error."""
    problem = problem_of(teacher, student, inputs, rule)
    start = start_of_units(problem, inputs)
    theory = ts.integrate(problem, start, TIMES, rtol=1e-6)
    networks = ts.simulate(problem, start, TIMES, N=N, seeds=SEEDS)
    found = []
    for name in ("Q", "R", "v", "eps_g"):
        runs, limit = networks[name].values, theory[name].values
        error = np.hypot(runs.std(axis=0, ddof=1) / np.sqrt(SEEDS), BIAS / N * np.abs(limit).max())
        found.append(np.abs((runs.mean(axis=0) - limit) / np.where(error > 0, error, 1.0)).max())
    return float(max(found))


def refused_student(student: str) -> bool:
    """A student that jumps must not be answered for."""
    problem = ts.Problem(
        ts.TeacherStudent(1), ts.Student(1, JUMPING_STUDENTS[student]), ts.SGD(0.1)
    )
    ts.integrate(problem, ts.OrderParameters([[1.0]], [[0.1]]), [0.0, 1.0])
    return False


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Every student that jumps, and a share of all combinations of teacher, student, inputs and
    rule.
    """
    for name in JUMPING_STUDENTS:
        yield Trial(f"student {name}", lambda name=name: refused_student(name))
    rows = list(itertools.product(TEACHERS, STUDENTS, INPUTS, RULES))
    count = max(1, round(share * len(rows)))
    for index in np.random.default_rng(seed).permutation(len(rows))[:count]:
        row = rows[index]
        yield Trial(
            " | ".join(row), lambda row=row: largest_z(*row) < 4.0, may_refuse=False, trains=True
        )


def main() -> None:
    """Print the table for the teachers and students of the README."""
    columns = list(itertools.product(INPUTS[:2], RULES[:3]))
    print(
        f"{'teacher':12}{'student':10}"
        + "".join(f"{inputs + ', ' + rule:>26}" for inputs, rule in columns)
    )
    for teacher, student in itertools.product(
        ("sign", "step", "x + sign x"), ("erf", "linear", "relu")
    ):
        values = [largest_z(teacher, student, inputs, rule) for inputs, rule in columns]
        print(
            f"{teacher:12}{student:10}" + "".join(f"{value:26.1f}" for value in values), flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
