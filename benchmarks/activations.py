"""Theories with any activations: `python -m benchmarks.activations [most units]`.

Two tables.  One has the seconds of a warm `integrate` to t = 20 at rtol = 1e-6, beside those of erf
with closed forms, and the reported error of the averages.  The other has the error that is
reported, and the true one, of averages at random states of given variance and near a specialised
student; the true one is against a far finer rule.
"""

import math
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from teacherstudent.activations.activation import as_activation
from teacherstudent.averages.choice_of_resolution import resolution_for
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.results.datasets import description

HE3 = (0.0, -3.0, 0.0, 1.0)  # the Hermite polynomial x^3 - 3 x
PAIRS = {
    "tanh, tanh": ("tanh", "tanh"),
    "gelu, relu": ("gelu", "relu"),
    "relu, erf": ("relu", "erf"),
    "leaky, leaky": (jax.nn.leaky_relu, jax.nn.leaky_relu),
    "softplus, tanh": (jax.nn.softplus, "tanh"),
    "sin, sin": (jnp.sin, jnp.sin),
    "tanh, sign": ("tanh", "sign"),
    "tanh, He3": ("tanh", HE3),
}
SIZES = ((1, 1), (2, 2), (3, 2), (5, 3), (8, 4))
STOP, RTOL = 20.0, 1e-6
STATES = (("0.1", 0.1, None), ("1", 1.0, None), ("2.5", 2.5, None), ("20", 20.0, None))
NEAR = ("1, near the teacher", 1.0, 0.05)


def seconds_of(student, teacher, K: int, M: int) -> tuple[float, float, str]:
    """Of a first and of a second `integrate`, and the reported error of its averages."""
    problem = ts.Problem(
        ts.TeacherStudent(M, teacher, noise=0.1), ts.Student(K, student), ts.SGD(0.3)
    )
    start = ts.random_start(problem, N=1000, seed=1)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        theory = ts.integrate(problem, start, [0.0, STOP], rtol=RTOL, atol=RTOL / 100)
        seconds.append(time.perf_counter() - began)
    error = description(theory)["report"].get("quadrature_error")
    shown = "closed forms"
    if error is not None:
        shown = f"{error:.0e}"
    return *seconds, shown


def speed(most: int) -> Table:
    """The first table."""
    table = Table("student, teacher", "K, M", "first", "warm", "erf, warm", "ratio", "reported")
    for name, pair in PAIRS.items():
        for K, M in SIZES:
            if most < K:
                continue
            first, warm, error = seconds_of(*pair, K, M)
            _, closed, _ = seconds_of("erf", "erf", K, M)
            row = (f"{first:.1f} s", f"{warm:.3f} s", f"{closed:.3f} s", f"{warm / closed:.0f}")
            table.add_row(name, f"{K}, {M}", *row, error)
            print(name, K, M, *row, error, flush=True)
    return table


def state(K: int, M: int, variance: float, distance: float | None):
    """A random covariance, and the weights of the outputs; or with students at a distance from
    teachers.
    """
    rng = np.random.default_rng(0)
    D = 4 * (K + M)
    w = rng.normal(size=(K + M, D)) / math.sqrt(D)
    w[:K] *= math.sqrt(variance)
    if distance is not None:
        w[:K] = w[K:][np.arange(K) % M] + distance * w[:K]
    return jnp.asarray(w @ w.T), jnp.concatenate([jnp.ones(K), -jnp.ones(M)])


def accuracy(K: int, M: int) -> Table:
    """The second table."""
    table = Table("student, teacher", "variance", "wanted", "reported", "true")
    for name, (student, teacher) in PAIRS.items():
        g, g_teacher = as_activation(student), as_activation(teacher)
        for words, variance, distance in (*STATES, NEAR):
            with jax.enable_x64(True):
                C, u = state(K, M, variance, distance)
                largest = float(jnp.max(jnp.diag(C)))
                chosen = resolution_for((g, g_teacher), largest, RTOL)
                finest = resolution_for((g, g_teacher), largest, RTOL / 1e3, finer=1)
                used = QuadratureAverages(g, g_teacher, K, M, chosen)
                exact = QuadratureAverages(g, g_teacher, K, M, finest)
                reported = float(jax.jit(used.error)(C, u))
                both = (jax.jit(everything(one))(C, u) for one in (used, exact))
                true = max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(*both, strict=True))
            table.add_row(name, words, f"{RTOL:.0e}", f"{reported:.0e}", f"{true:.0e}")
            print(name, words, f"reported {reported:.0e} true {true:.0e}", flush=True)
    return table


def everything(averages: QuadratureAverages):
    def all_four(C, u):
        return averages.I2(C), averages.J2(C), averages.G2(C), averages.I4(C, u)

    return all_four


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1][0]
    console = Console()
    console.print(accuracy(2, 1))
    console.print(speed(most))


if __name__ == "__main__":
    main()
