"""Attacks on the labels of an online learner: a blend of the true teacher and an attacker's target.

    y = (1 - a(t)) sum_teacher v*_m g*(nu_m) + a(t) sum_target v*_m g*(nu_m) + sigma zeta

An attack whose strength does not depend on the current input is a teacher whose readout depends on
time: theory and networks are those of the teacher-student task with the readout ((1 - a) v*, a v*).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import ActivationLike
from teacherstudent.checking import arguments, checks
from teacherstudent.schedules import Scaled, is_schedule, schedules_in
from teacherstudent.tasks.base import Task
from teacherstudent.tasks.teacher_student import TeacherStudent


class LabelAttack(TeacherStudent):
    """Labels that an attacker draws from those of a teacher towards those of a target.

        x ~ N(0, I_N)
        y = (1 - a) sum_(m < M - M') v*_m g*(nu_m) + a sum_(m >= M - M') v*_m g*(nu_m) + sigma zeta
        nu_m = w*_m . x / sqrt N,   zeta ~ N(0, 1)

    - `width`: M, the units of the teacher and of the target together, the teacher's first.
    - `target_width`: M', how many of them, the last, are the target's.
    - `strength`: a, from 0 (no attack) to 1 (the target alone); a number, a sequence (a sweep) or a
      schedule, a(t).
    - `activation`: g*, of both.
    - `readout`: v*, one number for all units or one per unit, the teacher's first.
    - `noise`: sigma, the standard deviation (not the variance) of the label noise.

    Time is t = updates / N.  eps_g is the error on the labels that the student is told, without
    their noise; the observables "eps_teacher" and "eps_target" are those on the teacher's and on
    the target's.  A linear student with constant a ends at w = (1 - a) w_teacher + a w_target; for
    an inversion of labels, w_target = -w_teacher, its signs turn round at a = 1/2.

    Raises ValueError if `target_width` leaves no unit to the teacher, the strength is outside
    [0, 1], or the readout changes with time.

    Attacks on online learners: a teacher-student analysis, NeurIPS 2023 (arXiv:2305.11132).

    >>> import teacherstudent as ts
    >>> task = ts.LabelAttack(width=3, strength=0.25, readout=[1.0, 1.0, 2.0])
    >>> print(task.v_star)
    [0.75 0.75 0.5 ]
    >>> task.other_labels()["eps_target"]
    TeacherStudent(width=3, readout=[0, 0, 2])
    """

    NUMBERS: ClassVar = ("noise", "strength")

    target_width: int = eqx.field(static=True)
    strength: checks.Parameter

    @arguments.of("task.")
    def __init__(
        self,
        width: int,
        activation: ActivationLike = "erf",
        readout=1.0,
        noise=0.0,
        *,
        target_width: int = 1,
        strength=0.5,
    ):
        super().__init__(width, activation, readout, noise)
        self.target_width = checks.integer("task.target_width", target_width)
        self.strength = checks.parameter(strength)

    def __check_init__(self):
        if self.target_width >= self.width:
            raise ValueError(
                f"task.target_width = {self.target_width} leaves no unit of task.width = "
                f"{self.width} to the teacher; give a width of both together."
            )
        if schedules_in(self.readout):
            raise ValueError(
                "task.readout of a LabelAttack cannot change with time; give numbers, and let "
                "task.strength change."
            )
        checks.number("task.strength", self.strength)
        known = not checks.is_traced(self.strength) and not is_schedule(self.strength)
        if known and np.max(self.strength) > 1:
            raise ValueError(
                f"task.strength = {np.max(self.strength):g} is not allowed; give a number from 0 "
                "(no attack) to 1 (the labels of the target)."
            )

    @property
    def is_target(self) -> Float[np.ndarray, " teachers"]:
        """1 for each unit of the target, 0 for those of the teacher, shape (M,)."""
        return (np.arange(self.width) >= self.width - self.target_width).astype(float)

    @property
    def v_star(self) -> Float[Array, " teachers"]:
        """((1 - a) v* of the teacher, a v* of the target)."""
        a = jnp.asarray(self.strength)
        return jnp.asarray(self.readout) * jnp.where(self.is_target > 0, a, 1 - a)

    @property
    def readouts(self) -> list[Any]:
        """The same, unit by unit, as schedules where the strength is one."""
        if not is_schedule(self.strength):
            return list(self.v_star)
        readout = jnp.broadcast_to(jnp.asarray(self.readout), (self.width,))
        of_target = [Scaled(self.strength, v) for v in readout[-self.target_width :]]
        of_teacher = [Scaled(self.strength, -v, v) for v in readout[: -self.target_width]]
        return [*of_teacher, *of_target]

    def other_labels(self) -> Mapping[str, Task]:
        """The tasks with the labels of the teacher and of the target alone."""
        readout = np.broadcast_to(np.asarray(self.readout, float), (self.width,))
        target = self.is_target

        def alone(v) -> Task:
            return TeacherStudent(self.width, self.activation, v)

        return {
            "eps_teacher": alone(readout * (1 - target)),
            "eps_target": alone(readout * target),
        }
