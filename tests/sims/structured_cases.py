"""Problems on structured inputs for which theory and networks are compared, in the tests and in
`benchmarks.agreement`.
"""

import jax.numpy as jnp
import numpy as np

import teacherstudent as ts

CASES = {
    # name: (inputs, student's activation, eta, eta_v or None, sigma)
    "sign, delta 0.1": ({"latent_ratio": 0.1}, "erf", 0.2, None, 0.0),
    "sign, delta 0.5": ({"latent_ratio": 0.5}, "erf", 0.2, None, 0.0),
    "sign, delta 2": ({"latent_ratio": 2.0}, "erf", 0.2, None, 0.0),
    "sign, delta 0.1, both layers": ({"latent_ratio": 0.1}, "erf", 0.2, 0.1, 0.1),
    "sign, delta 0.5, both layers": ({"latent_ratio": 0.5}, "erf", 0.2, 0.1, 0.1),
    "sign, delta 2, both layers": ({"latent_ratio": 2.0}, "erf", 0.2, 0.1, 0.1),
    "sign, delta 0.1, ReLU student": ({"latent_ratio": 0.1}, "relu", 0.05, None, 0.1),
    "sign, delta 0.5, ReLU student": ({"latent_ratio": 0.5}, "relu", 0.1, None, 0.1),
    "sign, delta 2, ReLU student": ({"latent_ratio": 2.0}, "relu", 0.1, None, 0.1),
    "sign, delta 0.5, ReLU, both layers": ({"latent_ratio": 0.5}, "relu", 0.1, 0.1, 0.1),
    "erf, delta 0.5": ({"latent_ratio": 0.5, "nonlinearity": "erf"}, "erf", 0.5, None, 0.1),
    "centred relu, delta 0.5": (
        {"latent_ratio": 0.5, "nonlinearity": "relu"},
        "erf",
        0.5,
        None,
        0.0,
    ),
    "two sign layers": ({"latent_ratio": 0.4, "layers": (0.75,)}, "erf", 0.2, None, 0.0),
    "power-law Gaussian": ({"exponent": 0.7}, "erf", 0.3, None, 0.1),
    "tanh generator": ({"generator": "tanh"}, "erf", 0.3, None, 0.1),
}


def set_up(name: str, N: int, K: int = 3, M: int = 2) -> tuple[ts.Problem, ts.SpectralOverlaps]:
    """The problem of a case, and a start from weights in N dimensions."""
    inputs, activation, eta, eta_v, sigma = CASES[name]
    teacher = {"width": M, "activation": activation, "noise": sigma}
    if "exponent" in inputs:
        task = ts.GaussianEquivalent.anisotropic(ts.power_law(N, inputs["exponent"]), **teacher)
    elif "generator" in inputs:
        task = ts.GaussianEquivalent.from_generator(tanh_generator(N), N // 2, 60 * N, **teacher)
    else:
        task = ts.HiddenManifold(seed=7, **inputs, **teacher)
    problem = ts.Problem(task, ts.Student(K, activation, eta_v is not None), ts.SGD(eta, eta_v))
    return problem, ts.random_start(problem, N=N, seed=11, scale=0.8, readout_scale=0.8)


def tanh_generator(N: int):
    """x = tanh(F c / sqrt D) + 1/4: a generator with a mean."""
    rows = np.random.default_rng(3).standard_normal((N, N // 2)) / np.sqrt(N // 2)
    return lambda c: jnp.tanh(jnp.asarray(rows, c.dtype) @ c) + 0.25
