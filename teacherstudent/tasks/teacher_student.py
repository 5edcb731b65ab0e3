"""The teacher-student task: isotropic Gaussian inputs, seen by the student and the teacher alike.

    x = c ~ N(0, I_N),   Omega = Phi = I_N:  one eigenvalue, rho = 1

Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt, Advani, Saxe, Krzakala & Zdeborova, NeurIPS 2019.
"""

from teacherstudent.activations.activation import ActivationLike
from teacherstudent.checking import arguments
from teacherstudent.tasks.base import TeacherTask


class TeacherStudent(TeacherTask):
    """Labels of a two-layer teacher on isotropic Gaussian inputs.

        x ~ N(0, I_N)
        y = sum_m v*_m g*(w*_m . x / sqrt N) + sigma zeta,   zeta ~ N(0, 1)

    - `width`: number M of teacher units.
    - `activation`: g*, a name, polynomial coefficients or an elementwise JAX function.
    - `readout`: v*, one number for all units or one per unit.
    - `noise`: sigma, the standard deviation (not the variance) of the label noise.

    Time is t = updates / N.

    Raises ValueError if a value is outside its range or `readout` does not fit `width`.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995).

    >>> import teacherstudent as ts
    >>> task = ts.TeacherStudent(width=2, activation="erf", readout=1.0, noise=0.1)
    >>> print(task.v_star)
    [1. 1.]
    """

    @arguments.of("task.")
    def __init__(self, width: int, activation: ActivationLike = "erf", readout=1.0, noise=0.0):
        super().__init__(width, activation, readout, noise)

    def latent_dimension(self, N: int) -> int:
        return N
