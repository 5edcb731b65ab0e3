"""What follows from an update rule in the limit N -> infinity: the contract of its theory.

`RuleTheory` is the base of every one of them, ours and yours; its docstring is the recipe for the
next one.  A theory belongs to one class of rules: a subclass that changes anything of that class
has none until it brings its own, since another `update` follows other equations.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import (
    Fixed,
    Gradient,
    State,
    averages_of,
    gradient,
    require_averages,
)
from teacherstudent.checking import contracts
from teacherstudent.checking.checks import AnyArray
from teacherstudent.checking.contracts import check_registration
from teacherstudent.extensions import contract_checks
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.problem import Problem
from teacherstudent.rules import RULES, Madam, Rule
from teacherstudent.states.spectral_overlaps import SpectralOverlaps

WHY_NONE: dict[type[Rule], str] = {
    Madam: "its steps depend on the weights themselves, so that the overlaps do not close; ",
}


class Nodes(NamedTuple):
    """How a rule's own averages are computed.

    - `description`: the nodes in words, for the results.
    - `rough`: whether they are so rough that small tolerances of the solver are in vain.
    """

    description: str
    rough: bool = True


class RuleTheory(abc.ABC):
    """The order-parameter equations of one update rule: the base of every rule's theory.

    To give a rule a theory:

    1. Subclass `RuleTheory` and name the rule: `class TheoryOfMine(ts.RuleTheory, rule=Mine)`.
       That registers it, for exactly this class of rules.
    2. Write `velocity(rule, problem, fixed, state, replica)`: d/dt of the state, time
       t = updates / N.  `fixed` holds the spectrum and the teacher's overlaps (`Fixed`), `state`
       what moves (`State`).  `self.gradient(problem, fixed, state)` gives the averages of one
       update of any task: for a rule that is linear in the gradient they are all that is
       needed.  Answer with `state._replace(q=..., r=..., v=..., b=...)`; layers that are not
       trained are held by the caller.  For SGD, with `g = self.gradient(problem, fixed, state)`,

           q = -eta (g.q + g.q.swapaxes(0, 1)) + eta^2 g.square
           r = -eta g.r,    v = -eta_v g.v,    b = -eta_b g.b

       where q (K, K, modes) and r (K, M, modes) have the modes of the inputs last, and `g.square`
       has the mini-batch's 1 / B in it.  With the eigenvalues `fixed.rho` and their fractions p,
       `fixed.weights`, the overlaps are Q = sum p rho q and R = sum p r, while lengths of weights
       are |w_k|^2 / N = sum p q_kk: the same as Q_kk on isotropic inputs only, which have one mode,
       rho = p = 1.
    3. If the theory does not hold everywhere, raise ValueError with the reason in `check`.
    4. If the rule remembers something, give its order parameters at t = 0 in `first_memory`.
    5. If the rule needs averages of its own by quadrature, say in `nodes` which; `velocity` is then
       also called with `replica` 1, 2, 3 for its value with other nodes, from which the error is
       estimated.
    6. If the rule sees more of the input covariance than its eigenvalues, write `prepare_modes`.
    7. If dq/dt is a sum of terms of first and of second order in the update, give the latter in
       `diffusion`; the observable "diffusion_Q" is made of it.
    8. If one update moves the order parameters by something that is linear in what the samples of
       its batch give, and remembers nothing, write it in `one_update`; `ts.fluctuations` is made of
       it.  Then `velocity` is `one_update` at `self.gradient(problem, fixed, state)`.

    A rule that only shrinks the weights, dw/dt = -w, moves q = w w^T at twice the rate:

    >>> import teacherstudent as ts
    >>> class Shrinking(ts.Rule):
    ...     def update(self, layers, gradient, memory, N):
    ...         return {"w": layers["w"] * (1 - 1 / N)}, memory
    >>> class TheoryOfShrinking(ts.RuleTheory, rule=Shrinking):
    ...     def velocity(self, rule, problem, fixed, state, replica):
    ...         return state._replace(q=-2 * state.q, r=-state.r, v=0 * state.v, b=0 * state.b)
    >>> problem = ts.Problem(ts.TeacherStudent(width=1), ts.Student(width=1), Shrinking())
    >>> start = ts.OrderParameters(Q=[[1.0]], R=[[0.5]], T=[[1.0]], v=[1.0])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0])
    >>> round(float(theory.Q[-1, 0, 0]), 3)  # exp(-2)
    0.135
    """

    registered: ClassVar[dict[type[Rule], "RuleTheory"]] = {}

    def __init_subclass__(cls, rule: type[Rule] | None = None, **kwargs: Any):
        check_registration(cls, RuleTheory, "rule", "velocity", rule, kwargs)
        super().__init_subclass__()
        if rule is None:
            return
        if not (isinstance(rule, type) and issubclass(rule, Rule)):
            raise ValueError(
                f"class {cls.__name__}(RuleTheory, rule={rule!r}): rule must be a class of update "
                "rules, such as ts.SGD."
            )
        RuleTheory.registered[rule] = cls()
        if not contracts.is_ours(cls):
            # Programs may have been compiled with another theory of this class.
            jax.clear_caches()

    def check(self, rule: Any, problem: Problem) -> None:
        """Raise ValueError, with the reason, where the equations do not hold for a problem."""

    @abc.abstractmethod
    def velocity(
        self, rule: Any, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        """d(q, r, v, b, memory)/dt under the rule."""

    def one_update(
        self, rule: Any, problem: Problem, fixed: Fixed, state: State, sampled: Gradient
    ) -> State:
        """N times the change of the state by one update whose batch gives `sampled`.

        It is what `velocity` is the mean of.  Raises ValueError where it is not known.
        """
        raise ValueError(
            f"there is no band of fluctuations for the rule {type(rule).__name__}: its theory has "
            "the mean of one update only (RuleTheory.one_update is not written); simulate several "
            "seeds."
        )

    def second_order(
        self,
        rule: Any,
        problem: Problem,
        state: State,
        mean: Gradient,
        square: Float[Array, "students students modes"],
    ) -> State | None:
        """The mean of N times the change of the state by one update, in its next order in 1 / N.

        `square` is what N E[delta_k delta_l |x|^2 / N] has beyond N times its limit.  The bias of
        finite networks is made of it; None where it is not known.
        """
        return None

    def takes_only_gradient(self, rule: Any) -> bool:
        """Whether `self.gradient` gives all averages that the velocity takes.

        If so, the theory holds for every task whose averages of one update are known.  A theory
        that takes others, such as those of the gradient's sign, has them for the labels of our
        tasks only, and answers False.
        """
        return True

    def holds_signs(self, rule: Any) -> bool:
        """Whether the velocity is known where a teacher tells signs, by the averages of one update
        that belong to the task.
        """
        return self.takes_only_gradient(rule)

    def holds_frozen_units(self, rule: Any) -> bool:
        """Whether the velocity is that of a student with frozen units (`Student.frozen`).

        `self.gradient` has no part of these units.  A theory answers True if nothing else moves
        them, such as weight decay, or if its velocity leaves it out.
        """
        return False

    def holds_lengths(self, rule: Any) -> bool:
        """Whether the rule holds every |w_k|^2 / N = sum_tau p q_kk where it is at the start."""
        return False

    def gradient(self, problem: Problem, fixed: Fixed, state: State) -> Gradient:
        """The averages of one update of a problem: fields q, r, square, v and b."""
        return gradient(problem, fixed, state)

    def diffusion(
        self, rule: Any, problem: Problem, fixed: Fixed, state: State
    ) -> Float[Array, "students students modes"]:
        """The part of dq/dt that is of second order in the update; ValueError where there is none.

        For SGD it is eta^2 square, what the noise of the samples adds.
        """
        raise ValueError(
            f"observable 'diffusion_Q': the theory of {type(rule).__name__} does not split dQ/dt "
            "into terms of first and of second order in the update; leave it out, or give "
            "'drift_Q'."
        )

    def first_memory(self, rule: Any, problem: Problem, fixed: Fixed, state: State) -> Any:
        """What the rule keeps beside the order parameters at t = 0."""
        return ()

    def nodes(self, rule: Any, problem: Problem) -> Nodes | None:
        """The nodes of the rule's own averages.

        None if it needs those of one update alone, or has closed forms.
        """
        return None

    def prepare_modes(
        self, problem: Problem, start: SpectralOverlaps
    ) -> tuple[SpectralOverlaps, Float[AnyArray, " modes"]]:
        """The start in the modes in which the rule's drift is diagonal, and the noise of each mode.

        Unless a theory says otherwise these are the eigenvectors of the input covariance; the noise
        of a mode is then E[x_tau^2] = rho.
        """
        return start, start.rho


def theory_of(rule: Rule) -> RuleTheory:
    """The theory of a rule.

    Raises ValueError, with the reason, if its class has none.
    """
    kind = type(rule)
    owner = contracts.nearest(kind, RuleTheory.registered)
    if owner is None:
        raise _no_theory(kind)
    changed = contracts.changes(kind, owner)
    if changed:
        raise ValueError(
            f"{contracts.sentence(kind, owner, changed)}, so that the theory of {owner.__name__} "
            f"does not hold for it; write class TheoryOf{kind.__name__}(ts.RuleTheory, "
            f"rule={kind.__name__}), or simulate."
        )
    return RuleTheory.registered[owner]


def require_theory(problem: Problem) -> None:
    """Raise ValueError, with the reason, where a problem has no theory."""
    theory = theory_of(problem.rule)
    require_averages(problem)
    averages_of(type(problem.task)).check(problem.task, problem)
    _require_gradient_alone(problem, theory)
    changed = changed_law(problem.task)
    if changed is not None and not theory.takes_only_gradient(problem.rule):
        raise ValueError(
            f"{changed}, and the theory of {type(problem.rule).__name__} takes other averages of "
            "one update than an InputTheory has, which are known for our labels only; give a rule "
            "such as SGD, or simulate."
        )
    if problem.student.frozen and not theory.holds_frozen_units(problem.rule):
        raise ValueError(
            f"student.frozen = {list(problem.student.frozen)}: the theory of "
            f"{type(problem.rule).__name__} is not known where single units are frozen; leave it "
            "out, give a rule such as SGD, or simulate."
        )
    _check_gradient(problem)
    theory.check(problem.rule, problem)


def _check_gradient(problem: Problem) -> None:
    """Raise ValueError where the rule has something else than the readout carry the error back, and
    the averages of one update are known of the readout alone.
    """
    rule = type(problem.rule)
    if rule.backward is not Rule.backward and problem.task.BINARY_LABELS:
        raise ValueError(
            f"{rule.__name__} carries the error back through other numbers than the readout, and "
            "its averages are known for tasks with a teacher (TeacherStudent, HiddenManifold, "
            f"GaussianEquivalent), not for {type(problem.task).__name__}; give one of these, or "
            "simulate."
        )


def _require_gradient_alone(problem: Problem, theory: RuleTheory) -> None:
    """Raise ValueError if a rule takes other averages than are known: of a teacher's signs, or of
    a student with biases.
    """
    signs_of_teacher = problem.task.BINARY_LABELS and not problem.task.HAS_CLASSES
    if problem.student.train_bias and not (
        problem.task.HAS_CLASSES or theory.takes_only_gradient(problem.rule)
    ):
        raise ValueError(
            f"student.train_bias = true: the theory of {type(problem.rule).__name__} with a "
            "teacher is known for students without biases only; give SGD, SphericalSGD, "
            "HeavyBall(beta=) or GradientFlow, set it to false, or simulate."
        )
    if not problem.task.HAS_CLASSES and problem.teacher.mean_coordinates is not None:
        _require_gradient_on_shifted(problem, theory)
    if signs_of_teacher and not theory.holds_signs(problem.rule):
        raise ValueError(
            f"the theory of {type(problem.rule).__name__} takes averages of the square loss with "
            f"a teacher, which {type(problem.task).__name__} does not have; give a rule such as "
            "SGD, or simulate."
        )


def _require_gradient_on_shifted(problem: Problem, theory: RuleTheory) -> None:
    """Raise ValueError if a rule takes other averages than those known on inputs with a mean."""
    if theory.takes_only_gradient(problem.rule):
        return
    raise ValueError(
        f"the theory of {type(problem.rule).__name__} is known for inputs without a mean only, not "
        f"for {type(problem.task).__name__}; give SGD, SphericalSGD, HeavyBall(beta=) or "
        "GradientFlow, or simulate."
    )


def check_answers(problem: Problem, fixed: Fixed, state: State) -> None:
    """Raise ValueError if a theory of one's own answers with something else than its contract says.

    Shapes alone are looked at.
    """
    theory = theory_of(problem.rule)
    averages = averages_of(type(problem.task))
    K, modes = state.v.shape[0], state.q.shape[-1]
    if not contracts.is_ours(type(averages)):
        wanted = Gradient(state.q, state.r, jnp.zeros((K, K, modes)), state.v, state.b)
        where = f"{type(averages).__name__}.gradient(task, problem, fixed, state)"

        def of_task(state):
            return averages.gradient(problem.task, problem, fixed, state)

        found = contract_checks.shapes_of(where, of_task, state)
        contract_checks.check_answer(where, found, wanted, "such as mean._replace(square=...)")
    if not contracts.is_ours(type(theory)):
        where = f"{type(theory).__name__}.velocity(rule, problem, fixed, state, replica)"

        def of_rule(state):
            return theory.velocity(problem.rule, problem, fixed, state, 0)

        found = contract_checks.shapes_of(where, of_rule, state)
        contract_checks.check_answer(where, found, state, "such as state._replace(q=..., r=...)")


def _no_theory(kind: type[Rule]) -> ValueError:
    known = ", ".join(rule.__name__ for rule in RULES.values() if rule in RuleTheory.registered)
    return ValueError(
        f"there is no theory for the rule {kind.__name__}: {WHY_NONE.get(kind, '')}rules with a "
        f"theory: {known}.  simulate runs every rule."
    )


def check_isotropic(rule: Rule, problem: Problem) -> None:
    """Raise ValueError unless the inputs are isotropic, with a teacher."""
    if problem.task.HAS_MODES or problem.task.HAS_CLASSES:
        everywhere = "SGD, SphericalSGD and HeavyBall(beta=)"
        raise ValueError(
            f"the theory of {type(rule).__name__} is for isotropic inputs with a teacher "
            f"(TeacherStudent), not for {type(problem.task).__name__}; {everywhere} have a theory "
            "for every task, and simulate runs every rule on every task."
        )


def check_frozen_readout(rule: Rule, problem: Problem, why: str) -> None:
    """Raise ValueError if the readout is trained."""
    if problem.student.train_readout:
        raise ValueError(
            f"there is no theory of {type(rule).__name__} with a trained readout here: {why}; set "
            "student.train_readout = false, or simulate."
        )
