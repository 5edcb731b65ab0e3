"""The angles between student and teacher units, as an observable."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments
from teacherstudent.observables.observable import Observable
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import Task


def cosines(state: OrderParameters) -> Float[Array, "students teachers"]:
    """R_km / sqrt(Q_kk T_mm); 0 for a unit of length zero, which points nowhere."""
    squares = jnp.diag(state.Q)[:, None] * jnp.diag(state.T)[None, :]
    has_lengths = squares > 0
    lengths = jnp.sqrt(jnp.where(has_lengths, squares, 1.0))
    return jnp.where(has_lengths, state.R / lengths, 0.0)


@arguments.checked
def alignment(task: Task) -> Observable:
    """The cosines of the angles between student units and the fixed vectors of a task, to be
    recorded by `integrate` and `simulate`; "alignment" for short.

        cos_km = R_km / sqrt(Q_kk T_mm)

    On isotropic inputs these are the angles between the weights w_k and w*_m.  On tasks with modes
    Q_kk is not |w_k|^2 / N, and they are the correlations of the fields lambda_k and nu_m that the
    weights make.  With two classes the vectors are the fixed directions, cos_ka = m_ka /
    sqrt(Q_kk).  0 where a unit has length zero.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.3))
    >>> start = ts.random_start(problem, N=1000, seed=0)
    >>> theory = ts.integrate(problem, start, [0.0], observables=[ts.alignment(problem.task)])
    >>> theory.alignment.dims
    ('time', 'student', 'teacher')
    """
    fixed = "teacher"
    if task.HAS_CLASSES:
        fixed = "direction"
    return Observable(
        "alignment",
        ("student", fixed),
        r"$\cos_{km}$",
        of=cosines,
        long_name=f"cosine of the angle between student units and {task.FIXED_VECTORS}",
    )
