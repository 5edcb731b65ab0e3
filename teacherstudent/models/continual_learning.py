"""Continual learning: several teachers, one after the other or mixed, and one student.

Task a = 1..A is a teacher of M_a units W_a with the readout v*_a.  The student has one first layer
w, and a readout h_a ("head") for each task or one for all.  Every update draws B samples
x ~ N(0, I_N), each with a task of its own, which is a with the probability p_a(t):

    lambda = w x / sqrt N,   nu_a = W_a x / sqrt N
    e = h_a . g(lambda) - v*_a . g*(nu_a) - sigma_a zeta
    w_k  <- w_k - (eta_k / sqrt N) <h_ak g'(lambda_k) e x> - (eta_k c / N) f_k (w_k - w~_k)
    h_ak <- h_ak - (eta_v / N) <g(lambda_k) e>

where <.> is the sum over the samples, for a head over those of its task, divided by B.  The last
term of w is the consolidation: a pull to the snapshot w~ = w(t_s), absent before t_s.  The
state holds the way s = w - w~ that the units have gone since then, zero before it.
"""

from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from teacherstudent.activations.activation import Activation, ActivationLike, as_activation
from teacherstudent.averages import Averages, averages_for
from teacherstudent.checking import arguments, checks
from teacherstudent.models import per_task
from teacherstudent.models.manifold_inputs import ManifoldInputs, as_inputs
from teacherstudent.models.model import Model, Quantity, registered
from teacherstudent.models.state import State
from teacherstudent.tasks.base import with_fields

HEADS = ("head", "student")
UNITS = ("student", "student_")
NEVER = 1e12  # the time of a snapshot that no run reaches


@registered
class ContinualLearning(Model):
    """A student that learns several teachers, one after the other or mixed.

        phi_a(x) = sum_k h_ak g(w_k . x / sqrt N),   phi*_a(x) = sum_m v*_am g*(W_am . x / sqrt N)
        eps_a = E[(phi_a - phi*_a)^2] / 2,           eps_g = sum_a p_a eps_a

    - `width`: the number K of student units; `activation`: g.
    - `teachers`: the numbers of units (M_1, .., M_A), one per task; `teacher_activation`: g*, that
      of the student unless given.
    - `readouts`: v*_a, for each task one number or one per unit of its teacher (ones).
    - `label_noise`: sigma_a, its standard deviation: one number, or one per task.
    - `frequencies`: how often each task is drawn, numbers or schedules; p_a is a's over the sum of
      all.  Teachers one after the other are `ts.piecewise([1.0, 0.0], [t_s])` and
      `ts.piecewise([0.0, 1.0], [t_s])`; with `[0.0, 0.5]` for the first, half as much replay.
    - `shared_head`: one readout for all tasks, in place of one per task.
    - `learning_rate`, `readout_learning_rate`: eta_w, and eta_v (the same unless given).
    - `batch_size`: B, the fresh samples of one update, each of which draws its own task; w and the
      heads move by the mean over all B.
    - `unit_rates`: for each unit a factor of eta_w, number or schedule: eta_k = eta_w factor_k.
      A unit is frozen where it is 0: `ts.piecewise([1.0, 0.0], [t_s])` freezes it from t_s on.
    - `gates`: A x K factors of the units in the output of each task; 0 takes a unit out of it.
    - `consolidation`: c, the strength of the pull to the weights at `snapshot`, the time t_s; where
      that is before the time of the start, to the weights at the start.  The importances f_k are
      `importance`, or h_ak(t_s)^2 of the task `consolidated_task` (from 0).
    - `inputs`: `ts.ManifoldInputs(...)` for inputs of a hidden manifold, isotropic unless given.
      The teachers then see the latent, nu_a = W_a c / sqrt D; Q and R are the covariances of the
      fields, Q = w Omega w^T / N and R = w Phi W^T / sqrt(N D), and T = W W^T / D.  The state has
      the overlaps of all rows for each eigenvalue, `modes`, which a start leaves out.

    The state: Q, R, T with the units of all teachers in one row, `heads` (A x K, or 1 x K), and
    with consolidation the overlaps `Q_shift`, `R_shift`, `shift` and the change `heads_shift` since
    the snapshot, which a start leaves out.  Recorded are `eps`, the error of every task at all
    times, `eps_g` and the probabilities `p`.  Time counts updates, t = updates / N, whatever B is.

    Raises ValueError if a value is outside its range, or the parts do not fit together.

    S. Lee, S. Goldt & A. Saxe, ICML 2021; S. Lee et al., ICML 2022.

    >>> import teacherstudent as ts
    >>> model = ts.ContinualLearning(
    ...     width=2,
    ...     teachers=[1, 1],
    ...     frequencies=[ts.piecewise([1.0, 0.0], [30.0]), ts.piecewise([0.0, 1.0], [30.0])],
    ... )
    >>> start = ts.State(
    ...     Q=[[0.3, 0.1], [0.1, 0.2]],
    ...     R=[[0.1, 0.1], [-0.1, 0.0]],
    ...     T=ts.teachers_of_similarity(0.5),
    ...     heads=[[0.4, 0.3], [0.2, 0.5]],
    ... )
    >>> theory = ts.integrate(model, start, [0.0, 30.0, 60.0])
    >>> print(theory.eps.sel(task=0).values.round(2))
    [0.19 0.   0.05]
    """

    NUMBERS = ("learning_rate", "readout_learning_rate", "consolidation")
    ERROR = "eps_g"
    STATE = MappingProxyType(
        {
            "Q": Quantity(UNITS, "overlap of student units", r"$Q_{kl}$"),
            "R": Quantity(
                ("student", "teacher"), "overlap of student and teacher units", r"$R_{km}$"
            ),
            "T": Quantity(
                ("teacher", "teacher_"), "overlap of teacher units", r"$T_{mn}$", along_time=False
            ),
            "heads": Quantity(HEADS, "readout of the student for each task", r"$h_{ak}$"),
            "Q_shift": Quantity(
                UNITS,
                "overlap of the way since the snapshot with student units",
                r"$s_k \cdot w_l$",
            ),
            "R_shift": Quantity(
                ("student", "teacher"),
                "overlap of the way since the snapshot with teacher units",
                r"$s_k \cdot W_m$",
            ),
            "shift": Quantity(UNITS, "overlap of the ways since the snapshot", r"$s_k \cdot s_l$"),
            "heads_shift": Quantity(HEADS, "change of readouts since the snapshot", r"$\Delta h$"),
            "modes": Quantity(
                ("mode", "row", "row_"), "overlap of all rows by mode", r"$G_{ab}(\rho)$"
            ),
        }
    )
    RECORDED = MappingProxyType(
        {
            "eps": Quantity(("task",), "generalisation error of each task", r"$\epsilon_a$"),
            "eps_g": Quantity((), "generalisation error", r"$\epsilon_g$"),
            "p": Quantity(("task",), "probability of each task", r"$p_a$"),
        }
    )

    width: int = eqx.field(static=True)
    teachers: tuple[int, ...] = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    teacher_activation: Activation = eqx.field(static=True)
    readouts: tuple
    label_noise: tuple
    frequencies: tuple
    shared_head: bool = eqx.field(static=True)
    learning_rate: checks.Parameter
    readout_learning_rate: checks.Parameter | None
    batch_size: int = eqx.field(static=True)
    unit_rates: tuple
    gates: Any
    consolidation: checks.Parameter | None
    snapshot: float | None
    consolidated_task: int = eqx.field(static=True)
    importance: Any
    inputs: ManifoldInputs | None

    @arguments.of("model.")
    def __init__(
        self,
        width: int,
        teachers,
        activation: ActivationLike = "erf",
        teacher_activation: ActivationLike | None = None,
        *,
        readouts=1.0,
        label_noise=0.0,
        frequencies=1.0,
        shared_head: bool = False,
        learning_rate=1.0,
        readout_learning_rate=None,
        batch_size: int = 1,
        unit_rates=1.0,
        gates=1.0,
        consolidation=None,
        snapshot=None,
        consolidated_task: int = 0,
        importance=None,
        inputs=None,
    ):
        self.width = checks.integer("model.width", width)
        self.teachers = per_task.widths("model.teachers", teachers)
        self.activation = as_activation(activation, "model.activation")
        if teacher_activation is None:
            teacher_activation = activation
        self.teacher_activation = as_activation(teacher_activation, "model.teacher_activation")
        self.readouts = per_task.readouts("model.readouts", readouts, self.teachers)
        A = len(self.teachers)
        self.label_noise = per_task.numbers("model.label_noise", label_noise, A)
        self.frequencies = per_task.numbers("model.frequencies", frequencies, A)
        per_task.check_frequencies("model.frequencies", self.frequencies)
        self.shared_head = shared_head
        self.learning_rate = checks.parameter(learning_rate)
        self.readout_learning_rate = checks.parameter(readout_learning_rate)
        self.batch_size = checks.integer("model.batch_size", batch_size)
        self.unit_rates = per_task.numbers("model.unit_rates", unit_rates, self.width)
        self.gates = per_task.matrix("model.gates", gates, (A, self.width))
        self.consolidation = checks.parameter(consolidation)
        self.snapshot = None if snapshot is None else checks.single("model.snapshot", snapshot)
        self.consolidated_task = per_task.task("model.consolidated_task", consolidated_task, A)
        self.importance = None
        if importance is not None:
            self.importance = per_task.matrix("model.importance", importance, (self.width,))
        self.inputs = as_inputs(inputs)

    def __check_init__(self):
        checks.number("model.learning_rate", self.learning_rate)
        checks.optional_number("model.readout_learning_rate", self.readout_learning_rate)
        self._check_slope()
        checks.optional_number("model.consolidation", self.consolidation)
        checks.one_of("model.shared_head", self.shared_head, (True, False))
        for name in ("label_noise", "frequencies", "unit_rates"):
            for one in checks.listed(getattr(self, name)):  # of a schedule its values along a run
                checks.number(f"model.{name}", one)
        self._check_consolidation()

    def _check_slope(self) -> None:
        """Raise ValueError if the student's activation jumps: no gradient reaches its weights."""
        jumps = self.activation.singularities.jumps()
        if jumps:
            raise ValueError(
                f"model.activation = {self.activation.name} jumps at x = {jumps[0][0]:.4g}: its "
                "gradient there is a delta function, which no sample sees; give a continuous one "
                "(a teacher may jump)."
            )

    def check_follows(self, first: Any, title: str) -> None:
        """Raise ValueError unless the inputs, activations and teachers stay from phase to phase."""
        super().check_follows(first, title)
        for name in ("inputs", "activation", "teacher_activation", "teachers"):
            mine, before = getattr(self, name), getattr(first, name)
            if mine != before:
                raise ValueError(
                    f"{title} has {name} = {checks.shortened(mine)}, but in phase 0 they are "
                    f"{checks.shortened(before)}; these stay from phase to phase."
                )

    def check_run(self, begin: float, last: float) -> None:
        """Raise ValueError if the snapshot is taken at no time of a run."""
        absent = isinstance(self.consolidation, float) and self.consolidation == 0
        if self.snapshot is not None and not absent and not self.snapshot < last:
            raise ValueError(
                f"model.snapshot = {self.snapshot:g} is not before the last time, t = {last:g}, "
                "so that nothing is consolidated; give an earlier one, or later times."
            )

    def _check_consolidation(self) -> None:
        """Raise ValueError unless all that it needs is given, or nothing of it."""
        if self.consolidation is not None and self.snapshot is None:
            raise ValueError(
                "model.consolidation is given, but not model.snapshot; give the time of the "
                "weights to which it pulls, such as that of a switch."
            )
        for name in ("snapshot", "importance"):
            if self.consolidation is None and getattr(self, name) is not None:
                raise ValueError(
                    f"model.{name} is given, but there is no consolidation; give "
                    "model.consolidation, its strength, as well."
                )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        K, M = self.width, sum(self.teachers)
        heads = 1 if self.shared_head else len(self.teachers)
        shapes: dict[str, tuple[int, ...]]
        shapes = {"Q": (K, K), "R": (K, M), "T": (M, M), "heads": (heads, K)}
        if self.consolidation is not None:
            shapes |= {"Q_shift": (K, K), "R_shift": (K, M), "shift": (K, K)}
            shapes["heads_shift"] = (heads, K)
        if self.inputs is not None:
            rows = self.moving_rows + M
            shapes["modes"] = (self.inputs.modes, rows, rows)
        return shapes

    @property
    def moving_rows(self) -> int:
        """The number of rows that live with the inputs: w, and with consolidation s."""
        return self.width * (1 if self.consolidation is None else 2)

    def defaults(self) -> dict[str, np.ndarray]:
        """The way since the snapshot is zero until then; the modes follow from Q, R and T."""
        left_out = [name for name in self.shapes if name.endswith("shift") or name == "modes"]
        return {name: np.zeros(self.shapes[name]) for name in left_out}

    def begun(self, start) -> dict[str, np.ndarray]:
        state = super().begun(start)
        if self.inputs is not None and "modes" not in start.values:
            state["modes"] = self.modes_at_rest(state)
        return state

    def check_start(self, start: Any) -> None:
        """Raise ValueError if the start does not fit, or has a way since another snapshot."""
        super().check_start(start)
        before = start.before
        if self.consolidation is None or not isinstance(before, ContinualLearning):
            return
        if before.consolidation is None or self.keeps_way(before):
            return
        moved = [name for name in start.values if name.endswith("shift")]
        has_way = any(np.any(start.values[name]) for name in moved)
        if has_way or (start.kept is not None and before.snapshot < start.time):
            raise ValueError(
                f"the start has a way since t = {before.snapshot:g}, the snapshot of its run, but "
                f"model.snapshot = {self.snapshot:g}; give that snapshot, or make a ts.Protocol of "
                "both models, in which a pull to another snapshot begins anew."
            )

    @property
    def shapes_in_protocol(self) -> dict[str, tuple[int, ...]]:
        """Without those of the pull, which any phase may have (`with_states_alike`)."""
        own = [name for name in self.shapes if not name.endswith("shift") and name != "modes"]
        return {name: self.shapes[name] for name in own}

    def with_states_alike(self, problems: list) -> list:
        """The phases of a protocol: where one of them has a pull, all have one, some of strength 0
        to a snapshot that is never taken.
        """
        if all(one.consolidation is None for one in problems):
            return problems
        absent = {"consolidation": 0.0, "snapshot": NEVER}
        return [
            one if one.consolidation is not None else with_fields(one, absent) for one in problems
        ]

    def entered(self, state: State, before) -> State:
        """The state with which a phase of a protocol begins: with a way of zero where its pull is
        to another snapshot than that of the phase before.
        """
        if self.keeps_way(before):
            return state
        moving = {name: part for name, part in state.values.items() if not name.endswith("shift")}
        if "modes" in moving:
            of_way = np.isin(np.arange(moving["modes"].shape[1]), self.rows_of_way)
            moving["modes"] = np.where(of_way[:, None] | of_way[None, :], 0.0, moving["modes"])
        return State(time=state.time, kept=state.kept, **moving)

    def keeps_way(self, before) -> bool:
        """Whether the way since the snapshot goes on from the phase before."""
        return self.snapshot == before.snapshot

    @property
    def rows_of_way(self) -> Int[np.ndarray, " students"]:
        """The rows of weights, among all, with the way since the snapshot."""
        return np.arange(self.width, self.moving_rows)

    def modes_at_rest(self, state) -> Float[np.ndarray, "modes rows rows"]:
        """The overlaps by mode of weights that know no direction but the teachers', at s = 0.

        Raises ValueError if no such weights have the overlaps Q, R and T, or s is not zero.
        """
        assert self.inputs is not None, "asked of models with modes only"
        shifts = [name for name in self.defaults() if name != "modes"]
        moved = [name for name in shifts if np.any(state[name])]
        if moved:
            raise ValueError(
                f"start.{moved[0]} is not zero, but start.modes, its overlaps by mode, is missing; "
                "go on from ts.last_state of a theory, or leave the shifts out."
            )
        found = self.inputs.by_mode(state["Q"], state["R"], state["T"])
        K, M = self.width, sum(self.teachers)
        modes = np.zeros(self.shapes["modes"])
        modes[:, :K, :K], modes[:, :K, -M:], modes[:, -M:, -M:] = found.q, found.r, found.t
        modes[:, -M:, :K] = np.swapaxes(found.r, 1, 2)
        return modes

    def gram_of_modes(
        self, modes: Float[checks.AnyArray, "modes rows rows"]
    ) -> Float[checks.AnyArray, "rows rows"]:
        """The covariance of the fields of all rows, but for that of the teachers: sum_tau p rho q
        of rows that live with the inputs, and sum_tau p r of these and the teachers.
        """
        assert self.inputs is not None, "asked of models with modes only"
        rho, p, _ = self.inputs.spectrum
        with_inputs = np.arange(modes.shape[1]) < self.moving_rows
        both = with_inputs[:, None] & with_inputs[None, :]
        weights = np.where(both[None], (p * rho)[:, None, None], p[:, None, None])
        return (weights * modes).sum(axis=0)

    def check_state(self, state) -> None:
        """Raise ValueError if no weights have these overlaps."""
        if self.inputs is not None:
            self._check_modes(state)
        gram = np.asarray(self.gram(state))
        lowest = np.linalg.eigvalsh((gram + gram.T) / 2)[0]
        size = max(1.0, np.abs(gram).max())
        if not np.allclose(gram, gram.T, rtol=0, atol=1e-9 * size) or lowest < -1e-9 * size:
            raise ValueError(
                "start.Q, R and T are the overlaps of no weights: [[Q, R], [R^T, T]] must be "
                f"symmetric, with no negative eigenvalue, and its lowest is {lowest:.3g}; take "
                "them of one set of weights, as ts.continual_start does."
            )

    def _check_modes(self, state) -> None:
        """Raise ValueError unless Q and R are the sums over the modes."""
        summed = self.overlaps(self.gram_of_modes(state["modes"]))
        for name in [name for name in summed if name != "T"]:
            if not np.allclose(summed[name], state[name], rtol=0, atol=1e-6):
                raise ValueError(
                    f"start.{name} is not the sum of start.modes over the eigenvalues of the "
                    "inputs; leave start.modes out, or take both of one state."
                )

    def gram(self, state) -> Float[Array, "rows rows"]:
        """The overlaps of all rows: the student w, its way s since the snapshot, the teachers W."""
        Q, R, T = state["Q"], state["R"], state["T"]
        if self.consolidation is None:
            return jnp.block([[Q, R], [R.T, T]])
        with_w, with_W, own = state["Q_shift"], state["R_shift"], state["shift"]
        return jnp.block([[Q, with_w.T, R], [with_w, own, with_W], [R.T, with_W.T, T]])

    def overlaps(self, gram: Float[checks.AnyArray, "rows rows"]) -> dict[str, Any]:
        """The parts of the state that are overlaps, cut out of those of all rows."""
        K, M = self.width, sum(self.teachers)
        state = {"Q": gram[:K, :K], "R": gram[:K, -M:], "T": gram[-M:, -M:]}
        if self.consolidation is not None:
            way = slice(K, 2 * K)
            state |= {"Q_shift": gram[way, :K], "R_shift": gram[way, -M:], "shift": gram[way, way]}
        return state

    def probabilities(self) -> Float[Array, " tasks"]:
        """p_a, of a model with the numbers of one time."""
        frequencies = jnp.stack([jnp.asarray(one) for one in self.frequencies])
        return frequencies / frequencies.sum()

    def rates(self) -> Float[Array, " students"]:
        """eta_k, of a model with the numbers of one time."""
        return self.learning_rate * jnp.stack([jnp.asarray(one) for one in self.unit_rates])

    @property
    def eta_v(self) -> Any:
        """The learning rate of the heads: that of the first layer unless given."""
        if self.readout_learning_rate is None:
            return self.learning_rate
        return self.readout_learning_rate

    def readout_of_task(
        self, heads: Float[Array, "heads students"]
    ) -> Float[Array, "tasks students"]:
        """The head of each task as it enters the output: behind its gate."""
        return jnp.asarray(self.gates, heads.dtype) * jnp.broadcast_to(heads, self.gates.shape)

    def output_weights(self, heads: Float[Array, "heads students"]) -> Float[Array, "tasks fields"]:
        """u_a = (h_a; 0, .., -v*_a, .., 0), so that e_a = sum_b u_ab g_b(h_b) without noise."""
        rows = []
        before = 0
        for width, readout in zip(self.teachers, self.readouts, strict=True):
            behind = sum(self.teachers) - before - width
            rows.append(jnp.pad(-jnp.asarray(readout, heads.dtype), (before, behind)))
            before += width
        return jnp.concatenate([self.readout_of_task(heads), jnp.stack(rows)], axis=1)

    def averages(self) -> Averages:
        """The Gaussian averages over the fields of the student and of all teachers."""
        widths = (self.width, sum(self.teachers))
        return averages_for(self.activation, self.teacher_activation, *widths)

    def pull(self, state) -> Float[Array, " students"]:
        """c f_k, the strength of the pull of each unit to the snapshot."""
        assert self.consolidation is not None, "asked of models with consolidation only"
        if self.importance is not None:
            return self.consolidation * jnp.asarray(self.importance, state["heads"].dtype)
        then = self.readout_of_task(state["heads"] - state["heads_shift"])
        return self.consolidation * then[self.consolidated_task] ** 2

    def observed(self, t, state) -> dict[str, Array]:
        C = jnp.block([[state["Q"], state["R"]], [state["R"].T, state["T"]]])
        u = self.output_weights(state["heads"])
        eps = jnp.einsum("ca,ab,cb->c", u, self.averages().I2(C), u) / 2
        p = self.probabilities()
        return {"eps": eps, "eps_g": p @ eps, "p": p}
