"""The averages of one update over the Gaussian fields.

A sample moves the student's unit k by -(eta / sqrt N) delta_k x with

    delta_k = v_k g'(lambda_k) (e - sigma zeta)
    e = phi - phi* = sum_a u_a g_a(h_a),   u = (v, -v*)

In the limit N -> infinity the dynamics needs of it only

    J_kb = E[d delta_k / d h_b] = v_k u_b J2(k, b)  +  (b = k)  v_k sum_a u_a G2(k, a)
    D_kl = E[delta_k delta_l]   = v_k v_l ( sum_ab u_a u_b I4(k, l, a, b) + sigma^2 J2(k, l) )

and the readout's gradient

    E[g(lambda_k) e] = sum_a u_a I2(k, a)

Where a rule carries the error back through other numbers than v_k (`Rule.backward`), these stand
for the v_k and v_l outside; the weights u inside the error keep v.

A student with biases b has lambda_k + b_k in place of lambda_k, and inputs with a mean give means
to all fields, in all of these averages (`teacherstudent/averages/biased.py`).  The biases' gradient
is the mean of delta_k,

    a_k = E[delta_k] = v_k sum_a u_a S2(k, a)

which also multiplies the mean of the inputs (`spectral.py`).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages import Averages
from teacherstudent.averages.biased import BiasedAverages
from teacherstudent.observables.generalisation import averages_of, output_weights
from teacherstudent.problem import Problem


class Moments(NamedTuple):
    """Averages of one update.

    - `J`: its Jacobian in the fields.
    - `D`: its covariance.
    - `readout`, `bias`: the gradients of readout and biases; the latter is left zero where neither
      student nor inputs have use for it.
    """

    J: Float[Array, "students fields"]
    D: Float[Array, "students students"]
    readout: Float[Array, " students"]
    bias: Float[Array, " students"]


def moments(
    problem: Problem,
    C: Float[Array, "fields fields"],
    v: Float[Array, " students"],
    b: Float[Array, " students"],
) -> Moments:
    """J, D and the gradients of readout and biases of the square loss, at the field covariance C.

    D is that of a mini-batch's mean gradient: the covariance of one sample over the batch size.
    """
    u = output_weights(problem, v)
    back = problem.rule.backward(v)
    one = moments_of_sample(averages_of(problem, C, b), C, u, back, problem.teacher.noise)
    return one._replace(D=one.D / problem.batch_size)


def moments_of_sample(
    averages: Averages,
    C: Float[Array, "fields fields"],
    u: Float[Array, " fields"],
    back: Float[Array, " students"],
    noise,
) -> Moments:
    """J, D and the readout's gradient of one sample with e = sum_a u_a g_a(h_a), whose error comes
    back to the units with the weights `back` and whose label has noise of the standard deviation
    `noise`.
    """
    K = averages.students
    J2 = averages.J2(C)
    curvature = back * (averages.G2(C) @ u)
    J = back[:, None] * J2 * u[None, :]
    J = J.at[:, :K].add(jnp.diag(curvature))
    D = back[:, None] * back[None, :] * (averages.I4(C, u) + noise**2 * J2[:, :K])
    bias = jnp.zeros_like(back)
    if isinstance(averages, BiasedAverages):
        bias = back * (averages.S2(C) @ u)
    return Moments(J=J, D=D, readout=averages.I2(C)[:K] @ u, bias=bias)
