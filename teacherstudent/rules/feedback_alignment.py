"""Direct feedback alignment: the first layer hears the error through fixed random numbers."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import DescentRule
from teacherstudent.streams import FEEDBACK, stream


class FeedbackAlignment(DescentRule):
    """SGD whose first layer hears the error through fixed numbers F_k in place of the readout.

        w_k <- w_k - (eta / sqrt N) < F_k g'(lambda_k) l'(phi) x >
        v_k <- v_k - (eta_v / N)    < g(lambda_k) l'(phi) >
        b_k <- b_k - (eta_b / N)    < F_k g'(lambda_k) l'(phi) >

    with < > the mean over the mini-batch.  The output phi has the readout v itself, and v, if it is
    trained, descends its exact gradient.  Time is t = updates / N.

    - `learning_rate`: eta.
    - `feedback`: F, one number for each unit of the student, shape (K,).
    - `seed`: in place of `feedback`: F_k ~ N(0, 1), drawn once from this seed, for every K.
    - `readout_learning_rate`, `bias_learning_rate`: eta_v, eta_b; as `learning_rate` unless given.

    The theory is that of SGD, for every task with a teacher; with F = v and a frozen readout it is
    SGD.  (s F, eta / s) is the same rule for every s > 0.

    Raises ValueError if not exactly one of `feedback` and `seed` is given, F is no list of finite
    numbers, or a rate is negative or not finite; `Problem` does if F has not one number for each
    unit.

    Refinetti, d'Ascoli, Ohana & Goldt, ICML 2021 (arXiv:2011.12428).

    >>> import teacherstudent as ts
    >>> rule = ts.FeedbackAlignment(learning_rate=0.5, feedback=[1.0, -0.5])
    >>> print(rule.backward([0.1, 0.2]))
    [ 1.  -0.5]
    >>> problem = ts.Problem(ts.TeacherStudent(width=1), ts.Student(2, train_readout=True), rule)
    >>> state = ts.OrderParameters(Q=[[0.3, 0.1], [0.1, 0.2]], R=[[0.2], [-0.2]], v=[1.0, 0.5])
    >>> round(float(ts.feedback_alignment(problem).value(state)), 4)
    0.6
    """

    VECTORS = ("feedback",)
    rotation_invariant = True
    feedback: Float[checks.AnyArray, " students"] | None = None
    seed: int | None = eqx.field(static=True, default=None)

    @arguments.of("rule.")
    def __init__(
        self,
        learning_rate,
        feedback=None,
        seed=None,
        readout_learning_rate=None,
        bias_learning_rate=None,
    ):
        super().__init__(learning_rate, readout_learning_rate, bias_learning_rate)
        if (feedback is None) == (seed is None):
            count = "neither" if seed is None else "both"
            raise ValueError(
                f"rule has {count} of feedback and seed; give one: feedback, a number for each "
                "unit, or seed, from which they are drawn."
            )
        self.feedback = _feedback(feedback)
        self.seed = None if seed is None else checks.integer("rule.seed", seed, minimum=0)

    def update(self, layers, gradient, memory, N):
        return self.descend(layers, gradient, self.learning_rate, N), memory

    def backward(self, v: Any) -> Any:
        """F, whatever the readout."""
        v = jnp.asarray(v)
        F = jnp.asarray(self._numbers(len(v)), v.dtype)
        return jnp.broadcast_to(F.reshape(-1, *[1] * (v.ndim - 1)), v.shape)

    def _numbers(self, students: int):
        if self.feedback is None:
            assert self.seed is not None, "one of feedback and seed is given"
            return stream(self.seed, FEEDBACK).standard_normal(students)
        return self.feedback

    def check_width(self, students: int) -> None:
        if self.feedback is not None and len(self.feedback) != students:
            raise ValueError(
                f"rule.feedback has {len(self.feedback)} entries but student.width = {students}; "
                "give one number for each unit of the student, or seed in place of feedback."
            )


def _feedback(given) -> Float[np.ndarray, " students"] | None:
    """F as an array; None if it is drawn."""
    if given is None:
        return None
    numbers = checks.finite_array("rule.feedback", given)
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(
            f"rule.feedback has shape {numbers.shape}; give a list of one number for each unit of "
            "the student, such as [1.0, -0.5]."
        )
    return numbers
