"""What finite networks alone have: the entries of their weights, as observables."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.observables.observable import NetworkWeights, Observable

BINS = 40
REACH = 4.0  # standard deviations of fresh weights of length sqrt N
SMALL = 1e-3


@arguments.checked
def weight_histogram(bins=None, name: str = "weight_histogram") -> Observable:
    """The density of the entries of each student unit's weights, to be recorded by `simulate`.

        density_k(bin) = #{i: w_ki in bin} / (N width)

    It has the dimensions "student" and "bin", with the middles of the bins as a coordinate.  A bin
    holds its lower edge, and the last one its upper edge too, as in `numpy.histogram`.  Entries
    beyond the edges are in no bin: the densities times the widths add up to the fraction within.
    Entries of weights with |w|^2 = N are of order one.

    - `bins`: increasing edges; 40 bins from -4 to 4 unless given.
    - `name`: of the variable in the dataset.

    Raises ValueError unless there are two edges or more, all finite and increasing.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=np.eye(3), R=np.zeros((3, 2)))
    >>> histogram = ts.weight_histogram(bins=np.linspace(-5, 5, 11))
    >>> networks = ts.simulate(problem, start, [0.0], N=500, seeds=2, observables=[histogram])
    >>> dict(networks.weight_histogram.sizes)
    {'seed': 2, 'time': 1, 'student': 3, 'bin': 10}
    >>> print(networks.bin.values[:3])
    [-4.5 -3.5 -2.5]
    """
    edges = np.linspace(-REACH, REACH, BINS + 1)
    if bins is not None:
        edges = _checked_edges(bins)
    middles = (edges[1:] + edges[:-1]) / 2
    return Observable(
        name,
        ("student", "bin"),
        r"$p(w_{ki})$",
        of_weights=_function(densities, tuple(edges.tolist())),
        long_name="density of the weights of a student unit",
        coordinates={"bin": middles},
    )


def _checked_edges(bins) -> np.ndarray:
    edges = checks.finite_array("bins", bins)
    if edges.ndim != 1 or edges.size < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(
            f"bins = {checks.shortened(bins)} are no edges of bins; give two or more increasing "
            "numbers, such as numpy.linspace(-4, 4, 41)."
        )
    return edges


def densities(edges: tuple[float, ...], network: NetworkWeights) -> Float[Array, "students bins"]:
    """The fraction of a unit's weights in each bin over its width."""
    at = jnp.asarray(edges)

    def of_unit(w):
        ordered = jnp.sort(w)
        below = jnp.searchsorted(ordered, at, side="left")
        below = below.at[-1].set(jnp.searchsorted(ordered, at[-1], side="right"))
        return jnp.diff(below).astype(w.dtype) / w.size

    return jax.vmap(of_unit)(network.w) / jnp.diff(at)[None, :]


@arguments.checked
def sparsity(threshold: float = SMALL, name: str = "sparsity") -> Observable:
    """The fraction of small entries among each student unit's weights, to be recorded by
    `simulate`; "sparsity" for short.

        sparsity_k = #{i: |w_ki| <= threshold rms_k} / N,   rms_k^2 = sum_i w_ki^2 / N

    It has the dimension "student".  A unit without weights has 1.

    - `threshold`: what is small, a share of the unit's root mean square.
    - `name`: of the variable in the dataset.

    Raises ValueError if the threshold is no positive number.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=np.eye(3), R=np.zeros((3, 2)))
    >>> small = ts.sparsity(threshold=0.5)
    >>> networks = ts.simulate(problem, start, [0.0], N=500, seeds=2, observables=[small])
    >>> print(networks.sparsity.mean().values.round(1))  # of normal numbers 0.38 are so small
    0.4
    """
    threshold = checks.positive("threshold", threshold)
    return Observable(
        name,
        ("student",),
        r"$P(w_{ki} \approx 0)$",
        of_weights=_function(small_fraction, threshold),
        long_name=f"fraction of weights below {threshold:g} of their root mean square",
    )


def small_fraction(threshold: float, network: NetworkWeights) -> Float[Array, " students"]:
    """The fraction of a unit's weights that are small beside its root mean square."""
    rms = jnp.sqrt(jnp.mean(network.w**2, axis=1, keepdims=True))
    return jnp.mean(jnp.abs(network.w) <= threshold * rms, axis=1)


def localisation(network: NetworkWeights) -> Float[Array, " students"]:
    """N sum_i w_ki^4 / (sum_i w_ki^2)^2; 0 for a unit without weights."""
    square = jnp.sum(network.w**2, axis=1)
    nonzero = square > 0
    ratio = jnp.sum(network.w**4, axis=1) / jnp.where(nonzero, square, 1.0) ** 2
    return jnp.where(nonzero, network.w.shape[1] * ratio, 0.0)


# 1 for entries of one size, 3 for normal ones, N for a single one.
PARTICIPATION = Observable(
    "participation",
    ("student",),
    r"$N \sum_i w_{ki}^4 / (\sum_i w_{ki}^2)^2$",
    of_weights=localisation,
    long_name="inverse participation ratio of the weights of a student unit",
)


@cache
def _function(function, parameter):
    """The function with its parameter, the same one at each call: programs are compiled once."""
    return partial(function, parameter)
