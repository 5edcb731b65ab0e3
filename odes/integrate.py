"""The verb: integrate the order-parameter equations of a problem, or of another model."""

import os

import xarray as xr

import odes.models
import odes.two_layer  # noqa: F401
from odes.models.theory import theory_of_model
from odes.options import Options, checked
from teacherstudent.checking import arguments, checks
from teacherstudent.models.model import Model
from teacherstudent.models.state import State
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol, first_of
from teacherstudent.starts import Start, check_begins


@arguments.checked
def integrate(
    problem: Problem | Model | Protocol,
    start: Start | State,
    times,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    solver: str = "auto",
    max_steps: int = 100_000,
    spectral: bool = False,
    observables=(),
    quadrature=None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool | None = None,
    curve: bool = True,
) -> xr.Dataset:
    """Integrate the order-parameter equations of `problem` from `start`: the theory's counterpart
    of `simulate`.

        d(Q, R, v)/dt = vector_field(Q, R, v),   t = updates / N,   N -> infinity
        with two classes: Q, m, v, b; with biases that are trained: Q, R, v, b

    - `problem`: a problem, or a `ts.Protocol` of several, one after the other.
    - `start`: where the run begins, at t = 0, or a state of another run (`ts.last_state`), from
      which it goes on at its time.
    - `times`: increasing times at which to answer, none before the start's (`log_times` is dense
      near zero).
    - `rtol`, `atol`: error allowed per step of the adaptive solver.  Rules whose averages jump
      between frozen points (sign rules, Fromage) get at least 1e-4 and 1e-6; the report has what
      was used.
    - `solver`: "auto" is Tsit5 for rtol >= 1e-6 and Dopri8 below; "kvaerno5" is implicit, for stiff
      runs.
    - `spectral`: also answer with the densities q(rho, t) and r(rho, t) over the eigenvalues rho of
      the input covariance.
    - `observables`: what else to record at each time: a list of `ts.Observable`, functions of the
      order parameters; of `ts.error_on`; and of names: "alignment", "norms", "effective_rank",
      "participation_ratio" or "sign_agreement"; "expected_loss" of labels that are signs of a
      teacher; "feedback_alignment" and "gradient_alignment" (`ts.FeedbackAlignment`);
      "eps_teacher" and "eps_target" (`ts.LabelAttack`); "drift_Q", "drift_R" (with two classes
      "drift_m", "drift_b"), "drift_v" for dQ/dt, dR/dt, dv/dt, and "diffusion_Q" for the part
      of dQ/dt of second order in the update; "densities", as `spectral`.
    - `quadrature`: a `ts.Quadrature`, how averages without closed forms are computed; None is at an
      accuracy that follows from rtol.
    - `checkpoint`: a file that keeps the state of a long solve, about once a minute and where it is
      interrupted (Ctrl-C); if it exists, the solve goes on from it, and the numbers are those of
      one solve.  It is deleted when the answer is complete.  For one curve by an explicit solver;
      in a protocol, what locates a threshold begins anew.
    - `progress`: a progress bar with the time reached, the steps taken and the wall time that is
      left; None shows one on a terminal and in a notebook.
    - `curve`: whether a single curve also keeps its values at some 256 times in between, by which
      `ts.plot` draws it: variables such as `curve_Q` along `curve_time`, which nothing else looks
      at.  They change no other number; `theory.drop_dims("curve_time")` leaves them out, for
      tables and for `xr.concat` along `time`.

    A theory that will take longer than a minute says so in a warning, before it starts.

    Parameters given as sequences (`Problem.sweeps`) and a batch of starts add their dimensions to
    the answer; one compiled program serves all values.  A curve of a batch that fails is nan after
    the time it reached, with a warning.

    The task's inputs enter through the spectrum that the start carries (`SpectralOverlaps`); of a
    start from `OrderParameters` that is the task's own, in the limit N, D -> infinity
    (`spectral_start`), and one eigenvalue for the teacher-student task.  Cost of a step: of the
    order of modes x K (K + M)^2, beside averages that do not depend on the number of modes; memory:
    modes x K (K + M) numbers.

    Returns an `xarray.Dataset` with Q (time, K, K), R (time, K, M), T (M, M), v (time, K), b (time,
    K) where biases are trained, and eps_g (time,), or, for a task with two classes, with Q, m, v,
    b, the expected `loss` and the `accuracy`; the solver's statistics are in its attributes, with
    the averages that were used and, where they are by quadrature, an estimate of their error.

    Raises ValueError for input that does not fit; `DivergenceError` or `SolverError`, with the time
    reached, if a single solve fails; the former where an overlap, readout or bias exceeds 1e6
    (times max(1, its start)), or no weights have the overlaps any more, with the answer before in
    `partial`.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt et al., NeurIPS 2019, Phys. Rev. X 10, 041044
    (2020) and MSML 2021; Refinetti et al., ICML 2021.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=0.5 * np.eye(3), R=np.zeros((3, 2)))
    >>> theory = ts.integrate(problem, start, [0.0, 1.0])
    >>> dict(theory.R.sizes)
    {'time': 2, 'student': 3, 'teacher': 2}
    >>> bool(theory.eps_g[1] < theory.eps_g[0])
    True
    """
    given = (rtol, atol, solver, max_steps, spectral, observables, quadrature, progress, curve)
    options = checked(Options(*given, checkpoint))
    times = checks.times(times)
    first = first_of(problem)
    first.check_start(start)
    check_begins(start, times)
    return theory_of_model(first).integrate(options, problem, start, times)
