"""The teacher-student task: isotropic Gaussian inputs, labels from a two-layer teacher.

    x ~ N(0, I_N),   nu_m = w*_m . x / sqrt N,   y = sum_m v*_m g*(nu_m) + sigma zeta,   zeta ~ N(0, 1)

Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt, Advani, Saxe, Krzakala & Zdeborova, NeurIPS 2019.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent import checks
from teacherstudent.activations import Activation, ActivationLike, as_activation


class TeacherStudent(eqx.Module):
    """Labels y = sum_m v*_m g*(w*_m . x / sqrt N) + sigma zeta of a two-layer teacher on Gaussian inputs.

    - `width`: number M of teacher units.
    - `activation`: g*, a name, polynomial coefficients or an elementwise JAX function.
    - `readout`: v*, one number for all units or one per unit.
    - `noise`: sigma, the standard deviation (not the variance) of the label noise.

    Raises ValueError if a value is outside its range or `readout` does not fit `width`.
    """

    width: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    readout: checks.Parameter
    noise: checks.Parameter

    def __init__(self, width: int, activation: ActivationLike = "erf", readout=1.0, noise=0.0):
        self.width = checks.integer("task.width", width)
        self.activation = as_activation(activation, "task.activation")
        self.readout = checks.parameter(readout)
        self.noise = checks.parameter(noise)

    def __check_init__(self):
        checks.number("task.noise", self.noise)
        checks.number("task.readout", self.readout, minimum=-np.inf)
        if np.ndim(self.readout) == 1 and np.shape(self.readout) != (self.width,):
            raise ValueError(
                f"task.readout has {np.size(self.readout)} entries but task.width = {self.width}; "
                "give one number for all teacher units, or one per unit."
            )

    @property
    def v_star(self) -> Float[Array, " teachers"]:
        """The teacher's readout v*, one entry per unit."""
        return jnp.broadcast_to(jnp.asarray(self.readout), (self.width,))
