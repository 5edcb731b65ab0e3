"""Reported errors of quadratures against the true ones, by the integrals of
`gaussian_integrals.py`.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import teacherstudent as ts
from odes.inputs.one_update import Fixed, State
from odes.solving.solve import _rule_error
from odes.solving.vector_field import vector_field
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.losses import LOSSES
from tests.faults.gaussian_integrals import NotConverged
from tests.faults.plain_activations import JUMPING, KINKED, SMOOTH, STUDENTS, TEACHERS
from tests.faults.reference_averages import ReferenceAverages
from tests.faults.reference_fields import field_averages
from tests.faults.reference_rules import (
    Setting,
    agd,
    by_points,
    fromage,
    in_the_plane,
    sign_sgd,
    signum,
)
from tests.faults.trial import Trial

PROBLEMS = 1000
FIELD_PROBLEMS = 200
RULE_PROBLEMS, OF_A_RULE = 100, 5
REPORTS = 20
ETA, ETA_V, BETA, AGES = 0.3, 0.2, 0.5, 18  # BETA^AGES is 4e-6
OF_A_PAIR = 20  # problems for one compiled pair of activations
SLACK = 1e-11  # of the reference, relative to the largest value
NEAREST = 0.9999
FOUR_FIELDS = (
    4  # one in so many problems with four fields has integrals of all of them, which take seconds
)


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Errors of I2, J2, G2 and I4, of field space and of sampled rules, and those in the report of
    `integrate`.
    """
    yield from averages_trials(share, seed)
    yield from field_trials(share, seed)
    yield from rule_trials(share, seed)
    yield from report_trials(share, seed)


def resolved(name: str, ask: Callable[[], bool]) -> Iterator[Trial]:
    """A trial whose answer is known before, since the reference and compiling take long.

    None where the reference does not converge: such a problem tells nothing.
    """
    try:
        answer = ask()
    except NotConverged:
        return
    except Exception as error:
        yield Trial(name, partial(_fail, error), may_refuse=False)
    else:
        yield Trial(name, lambda: answer, may_refuse=False)


def _fail(error: Exception) -> bool:
    raise error


def in_float64(function: Callable) -> Callable:
    """A compiled function that computes in float64, whatever the setting outside."""
    compiled = jax.jit(function)

    def called(*arguments):
        with jax.enable_x64(True):
            return compiled(*arguments)

    return called


def averages_trials(share: float, seed: int) -> Iterator[Trial]:
    """Random pairs of activations at random covariances."""
    rng = np.random.default_rng(seed)
    for pair in range(max(1, round(share * PROBLEMS / OF_A_PAIR))):
        student, teacher = _random_pair(rng, pair)
        K, M = ((1, 1), (1, 2), (2, 1), (2, 2))[pair // 6 % 4]
        for _ in range(problems_of_a_pair(share)):
            C, u = random_averages(rng, K, M, _may_coincide(student, teacher))
            yield from resolved(
                f"estimates: {student} with {teacher}, K = {K}, M = {M}, C = {C.tolist()}, u = "
                f"{u.tolist()}",
                lambda s=student, t=teacher, K=K, M=M, C=C, u=u: bounded(s, t, K, M, C, u),
            )


def problems_of_a_pair(share: float) -> int:
    """Fewer where few pairs are tried, since compiling takes most of the time."""
    return max(3, round(OF_A_PAIR * min(1.0, share * 10)))


def bounded(student: str, teacher: str, K: int, M: int, C: np.ndarray, u: np.ndarray) -> bool:
    """Whether the reported error is at least the true one."""
    true, reported, size = errors(student, teacher, K, M, C, u)
    return bool(max(true.values()) <= reported + SLACK * size)


def errors(student, teacher, K, M, C, u) -> tuple[dict[str, float], float, float]:
    """The largest error of each average, the reported one, and the largest value."""
    *values, reported = map(np.asarray, compiled(student, teacher, K, M)(C, u))
    reference = ReferenceAverages(STUDENTS[student].plain, TEACHERS[teacher].plain, K)
    exact = reference.I2(C), reference.J2(C), reference.G2(C), reference.I4(C, u)
    names = ("I2", "J2", "G2", "I4")
    true = {name: np.abs(a - b).max() for name, a, b in zip(names, values, exact, strict=True)}
    return true, float(reported), max(1.0, *(np.abs(one).max() for one in exact))


@cache
def compiled(student: str, teacher: str, K: int, M: int):
    """The averages and their reported error as one compiled function of C and u."""
    averages = QuadratureAverages(STUDENTS[student].jax, TEACHERS[teacher].jax, K, M)

    def everything(C, u):
        return (
            averages.I2(C),
            averages.J2(C),
            averages.G2(C),
            averages.I4(C, u),
            averages.error(C, u),
        )

    return in_float64(everything)


def field_trials(share: float, seed: int) -> Iterator[Trial]:
    """Random means, covariances, readouts and labels of one component."""
    rng = np.random.default_rng(seed + 1)
    for number in range(max(1, round(share * FIELD_PROBLEMS / OF_A_PAIR))):
        name = str(rng.choice(list((SMOOTH, KINKED)[number % 2])))
        loss, K = str(rng.choice(["square", "logistic"])), (1, 2, 2, 3, 4)[number % 5]
        for _ in range(problems_of_a_pair(share)):
            C = random_component(rng, K)
            mean, v = rng.normal(size=K) * np.sqrt(np.diag(C)), rng.normal(size=K)
            y = float(rng.choice([-1.0, 1.0]))
            yield from resolved(
                f"estimates: {name}, {loss} loss, mean = {mean.tolist()}, C = {C.tolist()}, v = "
                f"{v.tolist()}, y = {y}",
                lambda given=(name, loss, K, mean, C, v, y): fields_bounded(*given),
            )


def fields_bounded(name, loss, K, mean, C, v, y) -> bool:
    """Whether the reported error is at least the true one."""
    true, reported, size = field_errors(name, loss, K, mean, C, v, y)
    return bool(max(true.values()) <= reported + SLACK * size)


def field_errors(name, loss, K, mean, C, v, y) -> tuple[dict[str, float], float, float]:
    """The largest error of each average, the reported one, and the largest value."""
    values, reported = compiled_fields(name, loss, K)(mean, C, v, y)
    exact = field_averages(STUDENTS[name].plain, loss, mean, C, v, y)
    ours = {
        "a": values.a,
        "JC": np.asarray(values.J) @ C,
        "D": values.D,
        "b": values.b,
        "loss": values.loss,
    }
    true = {
        part: float(np.abs(np.asarray(one) - getattr(exact, part)).max())
        for part, one in ours.items()
    }
    return true, float(reported), max(1.0, *(np.abs(one).max() for one in exact))


@cache
def compiled_fields(name: str, loss: str, K: int):
    """The averages in field space and their reported error."""
    space = FieldSpace(STUDENTS[name].jax, LOSSES[loss], K)

    def everything(mean, C, v, y):
        return space.averages(mean, C, v, y), space.error(mean, C, v, y)

    return in_float64(everything)


def report_trials(share: float, seed: int) -> Iterator[Trial]:
    """The report of `integrate`, against the true errors at the states it answers with."""
    rng = np.random.default_rng(seed + 3)
    for number in range(round(share * REPORTS)):
        student, teacher = _random_pair(rng, number)
        K, M = ((1, 1), (1, 2), (2, 1))[number % 3]
        overlaps = _moderate_covariance(rng, K + M)
        yield from resolved(
            f"estimates: report of {student} with {teacher}, K = {K}, M = {M}, C = "
            f"{overlaps.tolist()}",
            lambda s=student, t=teacher, K=K, M=M, C=overlaps: report_bounded(s, t, K, M, C),
        )


def report_bounded(student: str, teacher: str, K: int, M: int, C: np.ndarray) -> bool:
    """Whether the reported error is at least that of all averages at all states; closed forms
    report none.
    """
    task = ts.TeacherStudent(M, TEACHERS[teacher].jax)
    problem = ts.Problem(task, ts.Student(K, STUDENTS[student].jax), ts.SGD(0.1))
    start = ts.OrderParameters(C[:K, :K], C[:K, K:], C[K:, K:])
    answer = ts.integrate(problem, start, [0.0, 0.5, 1.0, 2.0])
    reported = json.loads(answer.attrs["teacherstudent"])["report"].get("quadrature_error")
    if reported is None:
        return True
    u = np.concatenate([np.ones(K), -np.ones(M)])
    for Q, R in zip(answer.Q.values, answer.R.values, strict=True):
        state = np.block([[Q, R], [R.T, C[K:, K:]]])
        true, _, size = errors(student, teacher, K, M, state, u)
        if not max(true.values()) <= reported + SLACK * size:
            return False
    return True


def rule_trials(share: float, seed: int) -> Iterator[Trial]:
    """Random states of rules whose averages are at frozen points."""
    rng = np.random.default_rng(seed + 2)
    for number in range(max(1, round(share * RULE_PROBLEMS / OF_A_RULE))):
        name = list(RULES)[number % len(RULES)]
        case = _random_rule_case(rng, name)
        for _ in range(OF_A_RULE if share == 1 else 3):
            C, v = _moderate_covariance(rng, case.K + case.M), rng.normal(size=case.K)
            yield from resolved(
                f"estimates: {case}, C = {C.tolist()}, v = {v.tolist()}",
                lambda case=case, C=C, v=v: rule_bounded(case, C, v),
            )


class RuleCase(NamedTuple):
    """A rule, a pair of activations, sizes, label noise and whether the readout is trained."""

    rule: str
    student: str
    teacher: str
    K: int
    M: int
    noise: float
    batch_size: int
    trained: bool


RULES = {
    "SignSGD": (lambda eta_v: ts.SignSGD(ETA, eta_v), lambda of, C, v: sign_sgd(of, ETA, ETA_V)),
    "Fromage": (
        lambda eta_v: ts.Fromage(ETA, eta_v),
        lambda of, C, v: fromage(of, ETA, ETA_V, C, v),
    ),
    "AGD": (lambda eta_v: ts.AGD(), lambda of, C, v: agd(of, 1.0)),
    "Signum": (lambda eta_v: ts.Signum(ETA, beta=BETA), lambda of, C, v: signum(of, ETA, BETA)),
}


def rule_bounded(case: RuleCase, C: np.ndarray, v: np.ndarray) -> bool:
    """Whether the reported error of the velocity is at least the true one, as far as the reference
    can tell.
    """
    true, reported, uncertainty = rule_errors(case, C, v)
    return bool(max(true.values()) <= reported + uncertainty + SLACK)


def rule_errors(
    case: RuleCase, C: np.ndarray, v: np.ndarray
) -> tuple[dict[str, float], float, float]:
    """The largest error of dQ/dt, dR/dt and dv/dt, the reported one, and how uncertain the
    reference is.
    """
    Q, R, slope_v, reported = map(np.asarray, compiled_rule(case)(C, v))
    setting = Setting(
        STUDENTS[case.student].plain,
        TEACHERS[case.teacher].plain,
        C,
        v,
        np.ones(case.M),
        case.noise,
        case.batch_size,
    )
    by_hand = RULES[case.rule][1]
    in_plane = case.K == case.M == case.batch_size == 1 and case.rule not in (
        "Signum",
        *("AGD",) * (case.noise > 0),
    )
    if in_plane:
        exact = in_the_plane(setting, lambda of: by_hand(of, C, v))
    else:
        samples = AGES if case.rule == "Signum" else case.batch_size
        exact = by_points(setting, lambda of: by_hand(of, C, v), samples)
    true = {"Q": np.abs(Q - exact.Q).max(), "R": np.abs(R - exact.R).max()}
    if case.trained:
        true["v"] = np.abs(slope_v - exact.v).max()
    return true, float(reported), exact.uncertainty


@cache
def compiled_rule(case: RuleCase):
    """dQ/dt, dR/dt, dv/dt and the reported error of the velocity as a function of C and v."""
    K, M, one = case.K, case.M, np.ones(1)
    rule = RULES[case.rule][0](ETA_V if case.trained else None)
    task = ts.TeacherStudent(M, TEACHERS[case.teacher].jax, np.ones(M), case.noise)
    student = ts.Student(K, STUDENTS[case.student].jax, case.trained)
    problem = ts.Problem(task, student, rule, batch_size=case.batch_size).for_programs()

    def everything(C, v):
        T = C[K:, K:]
        fixed = Fixed(one, one, T[..., None], T, one)
        state = State(C[:K, :K, None], C[:K, K:, None], v, jnp.zeros(K))
        velocity = vector_field(problem, fixed, state)
        return (
            velocity.q[..., 0],
            velocity.r[..., 0],
            velocity.v,
            _rule_error(problem, fixed, ((jnp.zeros(()), state), (jnp.zeros(()), state))),
        )

    return in_float64(everything)


def _random_rule_case(rng: np.random.Generator, name: str) -> RuleCase:
    jumps = name in ("SignSGD", "Fromage")
    K, M = ((1, 1), (1, 1), (2, 1), (1, 2), (2, 2))[rng.integers(5)]
    return RuleCase(
        name,
        str(rng.choice(list(SMOOTH | KINKED))),
        str(rng.choice(list(SMOOTH | KINKED | JUMPING))),
        K,
        M,
        float(rng.choice([0.0, 0.3])),
        1 if name == "Signum" else int(rng.choice([1, 1, 4])),
        bool(jumps and rng.integers(2)),
    )


def _moderate_covariance(rng: np.random.Generator, P: int) -> np.ndarray:
    """Variances of 0.1 to 10, correlations of up to 0.9."""
    while True:
        F = rng.normal(size=(P, P)) + rng.uniform(0, 2) * rng.normal(size=P)
        F /= np.linalg.norm(F, axis=1, keepdims=True)
        if np.abs(F @ F.T - np.eye(P)).max() < 0.9:
            break
    F *= np.exp(rng.uniform(np.log(0.3), np.log(3), (P, 1)))
    return F @ F.T


def random_component(rng: np.random.Generator, K: int) -> np.ndarray:
    """A covariance of K fields, of rank two where there are more: the reference is exact there."""
    if K <= 2:
        return random_covariance(rng, K, 0, K > 1)
    while True:
        F = rng.normal(size=(K, 2))
        F /= np.linalg.norm(F, axis=1, keepdims=True)
        if np.abs(F @ F.T - np.eye(K)).max() < 0.99:
            break
    F *= np.exp(rng.uniform(np.log(0.1), np.log(20) / 2, (K, 1)))
    return F @ F.T


def random_covariance(rng: np.random.Generator, K: int, M: int, may_coincide: bool) -> np.ndarray:
    """Variances of 0.01 to 20, and correlations of up to 0.9999 or exactly one."""
    P = K + M
    deviations = np.exp(rng.uniform(np.log(0.1), np.log(20) / 2, P))
    kind = rng.integers(4)
    while True:
        vectors = rng.normal(size=(P, P))
        if kind > 0:
            vectors = vectors[:1] + 10 ** rng.uniform(-2.2, 0.5, (P, 1)) * vectors
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        correlation = vectors @ vectors.T
        if np.abs(correlation - np.eye(P)).max() <= NEAREST:
            break
    np.fill_diagonal(correlation, 1)
    signs = rng.choice([-1, 1], P)
    C = correlation * np.outer(deviations * signs, deviations * signs)
    if kind == 1 and may_coincide:
        i, j = rng.choice(P, 2, replace=False)
        factor = rng.choice([1.0, -1.0, 0.5]) if C[i, i] > 1 else rng.choice([1.0, -1.0, 2.0])
        C[j] = factor * C[i]
        C[:, j] = C[j]
        C[j, j] = factor**2 * C[i, i]
    return C


def random_averages(
    rng: np.random.Generator, K: int, M: int, may_coincide: bool
) -> tuple[np.ndarray, np.ndarray]:
    """C and u; four fields either are moderately correlated, or have no integral of all of them."""
    u = rng.normal(size=K + M)
    C = random_covariance(rng, K, M, may_coincide)
    if K + M == 4:
        if rng.integers(FOUR_FIELDS) > 0:
            u[-1] = 0.0
        else:
            C = _moderate_covariance(rng, 4)
    return C, u


def _may_coincide(student: str, teacher: str) -> bool:
    """Where a kink meets a jump, J2 and G2 have no meaning each, only together."""
    return not (student in KINKED and teacher in JUMPING)


def _random_pair(rng: np.random.Generator, number: int) -> tuple[str, str]:
    students = (SMOOTH, KINKED)[number % 2]
    teachers = (SMOOTH, KINKED, JUMPING)[number % 3]
    return str(rng.choice(list(students))), str(rng.choice(list(teachers)))
