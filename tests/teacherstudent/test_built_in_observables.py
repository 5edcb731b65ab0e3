"""The observables that have a name: each against another route to the same numbers."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.activations.activation import as_activation
from teacherstudent.observables.built_in import built_in
from tests.long import mostly_long
from tests.problems import committee, random_overlaps

TIMES = [0.0, 0.4, 1.0]
N = 60  # beside K = 3 and M = 2
OF_OVERLAPS = ["alignment", "norms", "effective_rank", "participation_ratio", "sign_agreement"]
OF_EQUATIONS = ["drift_Q", "drift_R", "drift_v", "diffusion_Q"]
ENTRIES = ts.Observable("entries", ("student", "input"), r"$w_{ki}$", of_weights=lambda n: n.w)
EDGES = np.array([-2.0, -0.5, 0.0, 0.7, 1.5])
BEFORE = ts.TeacherStudent(2, "erf", readout=[0.3, -1.2])


@pytest.fixture(scope="module")
def theory():
    problem = committee(readout_learning_rate=0.2)
    observables = [*OF_OVERLAPS, *OF_EQUATIONS, "densities", ts.error_on(BEFORE, name="before")]
    return ts.integrate(problem, random_overlaps(3, 2), TIMES, observables=observables, curve=False)


@pytest.fixture(scope="module")
def networks():
    rng = np.random.default_rng(0)
    w, w_star = rng.standard_normal((3, N)), rng.standard_normal((2, N))
    w[1, : N // 2] = 0.0  # sparse
    start = ts.start_from_weights(committee(), w, w_star=w_star)
    of_weights = [ENTRIES, ts.weight_histogram(EDGES), "sparsity", "participation"]
    small = ts.sparsity(0.5, name="smaller")
    observables = [*OF_OVERLAPS, *of_weights, small, ts.error_on(BEFORE)]
    return ts.simulate(committee(), start, TIMES, seeds=2, dtype="float64", observables=observables)


def eigenvalues(data):
    return np.linalg.eigvalsh(data.Q.transpose(..., "student", "student_").values)


@pytest.mark.long
@pytest.mark.parametrize("side", ["theory", "networks"])
def test_those_of_overlaps_are_what_numpy_makes_of_them(side, request):
    data = request.getfixturevalue(side)
    lengths = np.sqrt(np.einsum("...kk->...k", data.Q))
    assert data.alignment.dims[-2:] == ("student", "teacher")
    cosines = data.R / lengths[..., :, None] / np.sqrt(np.diag(data["T"]))
    np.testing.assert_allclose(data.alignment, cosines, rtol=1e-12)
    np.testing.assert_allclose(data.norms, lengths, rtol=1e-12)
    shares = eigenvalues(data) / eigenvalues(data).sum(axis=-1, keepdims=True)
    entropy = -(shares * np.log(shares)).sum(axis=-1)
    np.testing.assert_allclose(data.effective_rank, np.exp(entropy), rtol=1e-12)
    ratio = 1 / (shares**2).sum(axis=-1)
    np.testing.assert_allclose(data.participation_ratio, ratio, rtol=1e-12)
    assert (data.effective_rank > 1).all() and (data.effective_rank < 3).all()


def test_those_of_overlaps_are_those_of_the_weights(networks):
    w = networks.entries.values
    Q = np.einsum("stki,stli->stkl", w, w) / N
    np.testing.assert_allclose(networks.norms, np.sqrt(np.einsum("stkk->stk", Q)), rtol=1e-10)


def test_nothing_has_no_direction():
    start = ts.OrderParameters(Q=np.zeros((3, 3)), R=np.zeros((3, 2)))
    names = ["alignment", "norms", "effective_rank", "participation_ratio"]
    theory = ts.integrate(committee(activation="linear"), start, [0.0], observables=names)
    for name in names:
        np.testing.assert_array_equal(theory[name], 0.0)


def test_equal_units_span_all_directions_and_copies_one():
    names = ["effective_rank", "participation_ratio"]
    for Q, rank in ((0.7 * np.eye(3), 3.0), (np.ones((3, 3)), 1.0)):
        start = ts.OrderParameters(Q=Q, R=np.zeros((3, 2)))
        found = ts.integrate(committee(activation="linear"), start, [0.0], observables=names)
        assert float(found.effective_rank[0]) == pytest.approx(rank)
        assert float(found.participation_ratio[0]) == pytest.approx(rank)


@pytest.mark.parametrize("side", ["theory", "networks"])
def test_the_error_on_another_task_is_that_of_another_problem(side, request):
    data = request.getfixturevalue(side)
    other = ts.Problem(BEFORE, ts.Student(3, "erf"), ts.SGD(0.1))
    if side == "theory":
        found, index = data.before, {"time": 2}
    else:
        found, index = data.eps_g_other, {"time": 2, "seed": 1}
    here = data.isel(index)
    state = ts.OrderParameters(here.Q.values, here.R.values, here["T"].values, here.v.values)
    expected = float(ts.generalisation_error(other, state))
    assert float(found.isel(index)) == pytest.approx(expected, rel=1e-12)
    assert abs(expected - float(here.eps_g)) > 0.01


@pytest.mark.long
def test_with_two_classes_the_error_on_another_task_is_its_loss():
    problem, start = two_classes()
    other = ts.SpikedCumulant(latent="rademacher", beta=0.5)
    theory = ts.integrate(problem, start, TIMES, observables=[ts.error_on(other)])
    here = theory.isel(time=2)
    state = ts.OrderParameters(here.Q.values, m=here.m.values, v=here.v.values, b=here.b.values)
    expected = ts.expected_loss(ts.Problem(other, problem.student, problem.rule), state)
    assert float(here.loss_other) == pytest.approx(float(expected), rel=1e-12)


def two_classes():
    task = ts.SpikedCumulant(latent="rademacher", beta=2.0)
    problem = ts.Problem(task, ts.Student(2, "erf", train_bias=True), ts.SGD(0.1))
    return problem, ts.OrderParameters([[0.5, 0.1], [0.1, 0.6]], m=[[0.3], [0.2]], b=[0.1, 0.2])


def test_the_drift_is_the_slope_of_the_trajectory():
    h = 1e-3
    problem = committee(readout_learning_rate=0.2)
    times = [0.5 - h, 0.5, 0.5 + h]
    theory = ts.integrate(
        problem, random_overlaps(3, 2), times, rtol=1e-11, atol=1e-13, observables=OF_EQUATIONS
    )
    for name in ("Q", "R", "v"):
        drift = theory[f"drift_{name}"]
        assert drift.dims == theory[name].dims
        slope = (theory[name][2] - theory[name][0]) / (2 * h)
        np.testing.assert_allclose(drift[1], slope, rtol=0, atol=1e-6)
        assert abs(drift).max() > 0.01


@pytest.mark.long
def test_with_two_classes_there_is_a_drift_of_m_and_b():
    h = 1e-3
    problem, start = two_classes()
    names = ["drift_Q", "drift_m", "drift_b"]
    times = [0.5 - h, 0.5, 0.5 + h]
    theory = ts.integrate(problem, start, times, rtol=1e-11, atol=1e-13, observables=names)
    assert theory.drift_m.dims == ("time", "student", "direction")
    for name in ("Q", "m", "b"):
        slope = (theory[name][2] - theory[name][0]) / (2 * h)
        np.testing.assert_allclose(theory[f"drift_{name}"][1], slope, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"'drift_R' is none .*; did you mean 'drift_\w'\?"):
        ts.integrate(problem, start, TIMES, observables=["drift_R"])


@pytest.mark.long
def test_inputs_with_modes_have_the_drift_of_all_modes():
    h = 1e-3
    task = ts.HiddenManifold(width=2, latent_ratio=0.4)
    problem = ts.Problem(task, ts.Student(3), ts.SGD(0.3))
    start = ts.random_start(problem, N=40, seed=1)
    times = [0.5 - h, 0.5, 0.5 + h]
    other = ts.HiddenManifold(width=2, latent_ratio=0.4, readout=[0.0, 2.0])
    names = ["drift_Q", "drift_R", "diffusion_Q", "alignment", ts.error_on(other)]
    theory = ts.integrate(problem, start, times, rtol=1e-10, atol=1e-12, observables=names)
    for name in ("Q", "R"):
        slope = (theory[name][2] - theory[name][0]) / (2 * h)
        np.testing.assert_allclose(theory[f"drift_{name}"][1], slope, rtol=0, atol=1e-6)
    assert (abs(theory.alignment) <= 1).all()
    wrong = ts.error_on(ts.HiddenManifold(width=2, latent_ratio=0.5))
    with pytest.raises(ValueError, match="HiddenManifold has other inputs than that of the tr"):
        ts.integrate(problem, start, times, observables=[wrong])


RULES = {
    "SGD": lambda eta: ts.SGD(eta, weight_decay=0.05 * eta),
    "SphericalSGD": ts.SphericalSGD,
    "HeavyBall": lambda eta: ts.HeavyBall(eta, beta=0.4),
    "SignSGD": ts.SignSGD,
}


@pytest.mark.parametrize("name", mostly_long(RULES, ["SGD", "SphericalSGD"]))
def test_the_diffusion_is_quadratic_in_the_learning_rate(name):
    """dQ/dt = eta A + eta^2 B: from two rates follows B, whatever the theory calls so."""
    start = random_overlaps(3, 2)
    if name == "SphericalSGD":
        lengths = np.sqrt(np.diag(start.Q))
        Q = start.Q / np.outer(lengths, lengths)
        start = ts.OrderParameters(Q, start.R / lengths[:, None], start.T)
    found = []
    for eta in (0.2, 0.4):
        task = ts.TeacherStudent(2, "linear", noise=0.3)
        problem = ts.Problem(task, ts.Student(3, "linear"), RULES[name](eta), batch_size=2)
        names = ["drift_Q", "diffusion_Q"]
        found.append(ts.integrate(problem, start, [0.0], observables=names).isel(time=0))
    second = (found[1].drift_Q - 2 * found[0].drift_Q) / 2
    np.testing.assert_allclose(found[0].diffusion_Q, second, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[1].diffusion_Q, 4 * second, rtol=1e-9, atol=1e-12)
    assert abs(second).max() > 1e-3


def test_the_diffusion_is_the_mean_square_of_one_update(theory):
    """eta^2 E[delta_k delta_l], delta_k = v_k g'(lambda_k) (phi - y), by Monte Carlo."""
    here = theory.isel(time=1)
    samples = 400_000
    rng = np.random.default_rng(1)
    C = np.block([[here.Q.values, here.R.values], [here.R.values.T, here["T"].values]])
    fields = rng.standard_normal((samples, 5)) @ np.linalg.cholesky(C).T
    erf = as_activation("erf")
    lam, nu = fields[:, :3], fields[:, 3:]
    v = here.v.values
    y = np.asarray(erf(nu)).sum(axis=1) + 0.2 * rng.standard_normal(samples)
    slope = np.sqrt(2 / np.pi) * np.exp(-(lam**2) / 2)  # of erf(x / sqrt 2)
    delta = v * slope * (np.asarray(erf(lam)) @ v - y)[:, None]
    products = 0.3**2 * delta[:, :, None] * delta[:, None, :]
    error = products.std(axis=0) / np.sqrt(samples)
    assert (abs(here.diffusion_Q - products.mean(axis=0)) < 4 * error).all()
    assert (error < 0.02 * abs(here.diffusion_Q).max().item()).all()


def test_rules_without_a_split_refuse_the_diffusion():
    problem = ts.Problem(
        ts.TeacherStudent(2, "linear"), ts.Student(3, "linear"), ts.HeavyBall(0.2, gamma=1.0)
    )
    with pytest.raises(ValueError, match="the theory of HeavyBall does not split dQ/dt"):
        ts.integrate(problem, random_overlaps(3, 2), [0.0], observables=["diffusion_Q"])
    theory = ts.integrate(problem, random_overlaps(3, 2), [0.0], observables=["drift_Q"])
    np.testing.assert_array_equal(theory.drift_Q, 0.0)  # the momentum is still zero


def test_where_time_counts_updates_there_is_no_drift():
    problem = ts.Problem(
        ts.TeacherStudent(2, "linear"),
        ts.Student(3, "linear"),
        ts.AGD(first_scale=1.0),
        batch_ratio=2.0,
    )
    with pytest.raises(ValueError, match="'drift_Q' is a derivative in time, but with batch_rat"):
        ts.integrate(problem, random_overlaps(3, 2), [0.0], observables=["drift_Q"])


def test_densities_are_those_of_spectral(theory):
    problem = committee(readout_learning_rate=0.2)
    other = ts.integrate(problem, random_overlaps(3, 2), TIMES, spectral=True)
    for name in ("q", "r", "Q"):
        # Two programs, which round differently at each step.
        np.testing.assert_allclose(theory[name], other[name], rtol=1e-9)


@pytest.mark.long
def test_sweeps_and_batches_have_the_drift_of_every_curve(theory):
    starts = [random_overlaps(3, 2, seed=seed) for seed in (1, 0)]
    fields = {name: np.stack([getattr(one, name) for one in starts]) for name in ("Q", "R", "T")}
    problem = committee(learning_rate=[0.1, 0.3, 0.2, 0.4], readout_learning_rate=0.2)
    swept = ts.integrate(problem, ts.OrderParameters(**fields), TIMES, observables=OF_EQUATIONS)
    assert swept.drift_R.dims == ("learning_rate", "start", "time", "student", "teacher")
    for name in OF_EQUATIONS:
        curve = swept[name].isel(learning_rate=1, start=1)
        np.testing.assert_allclose(curve, theory[name], rtol=1e-6, atol=1e-9)


def test_what_came_before_a_divergence_has_the_drift():
    problem = committee(2, 3, activation="quadratic", learning_rate=0.5)
    with pytest.raises(ts.DivergenceError) as failure:
        ts.integrate(problem, random_overlaps(2, 3), [0.0, 20.0], observables=["drift_R"])
    assert failure.value.partial.drift_R.sizes == {"time": 1, "student": 2, "teacher": 3}


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.6, 0.99])
def test_two_units_agree_by_the_angle_between_them(rho):
    problem = committee(1, 1)
    start = ts.OrderParameters(Q=[[0.49]], R=[[rho * 0.7 * 1.5]], T=[[2.25]])
    theory = ts.integrate(problem, start, [0.0], observables=["sign_agreement"])
    assert float(theory.sign_agreement[0]) == pytest.approx(1 - np.arccos(rho) / np.pi, abs=2e-4)


def test_several_units_agree_as_often_as_samples_say(theory):
    here = theory.isel(time=2)
    samples = 400_000
    C = np.block([[here.Q.values, here.R.values], [here.R.values.T, here["T"].values]])
    fields = np.random.default_rng(2).standard_normal((samples, 5)) @ np.linalg.cholesky(C).T
    g = np.asarray(as_activation("erf")(fields))
    agree = ((g[:, :3] @ here.v.values) * g[:, 3:].sum(axis=1) > 0).mean()
    assert abs(float(here.sign_agreement) - agree) < 4 * 0.5 / np.sqrt(samples) + 5e-4


def test_weights_have_numpys_histogram(networks):
    w = networks.entries.values
    histogram = networks.weight_histogram
    assert histogram.dims == ("seed", "time", "student", "bin")
    np.testing.assert_allclose(networks.bin, (EDGES[1:] + EDGES[:-1]) / 2)
    for seed, time, unit in np.ndindex(w.shape[:3]):
        counts = np.histogram(w[seed, time, unit], EDGES)[0]
        np.testing.assert_allclose(histogram[seed, time, unit], counts / N / np.diff(EDGES))


def test_edges_are_in_the_bins_that_numpy_puts_them_in():
    w = np.array([[-2.0, -0.5, 0.0, 1.5, 1.5001, 0.7]])
    start = ts.start_from_weights(committee(1, 1), w, w_star=np.ones((1, 6)))
    found = ts.simulate(
        committee(1, 1),
        start,
        [0.0],
        seeds=1,
        dtype="float64",
        observables=[ts.weight_histogram(EDGES)],
    )
    expected = np.histogram(w, EDGES)[0] / 6 / np.diff(EDGES)
    np.testing.assert_allclose(found.weight_histogram[0, 0, 0], expected)


def test_sparsity_and_participation_are_moments_of_the_weights(networks):
    w = networks.entries.values
    rms = np.sqrt((w**2).mean(axis=-1))
    for name, threshold in (("sparsity", 1e-3), ("smaller", 0.5)):
        small = (abs(w) <= threshold * rms[..., None]).mean(axis=-1)
        np.testing.assert_allclose(networks[name], small)
    assert float(networks.sparsity[0, 0, 1]) == 0.5
    ratio = N * (w**4).sum(axis=-1) / (w**2).sum(axis=-1) ** 2
    np.testing.assert_allclose(networks.participation, ratio, rtol=1e-10)


@pytest.mark.long
def test_files_keep_the_bins(networks, tmp_path):
    ts.save(tmp_path / "run.h5", simulation=networks)
    loaded = ts.load(tmp_path / "run.h5")["simulation"].dataset
    np.testing.assert_array_equal(loaded.bin, networks.bin)
    np.testing.assert_array_equal(loaded.weight_histogram, networks.weight_histogram)
    ts.plot(ts.load(tmp_path / "run.h5"), tmp_path / "run.png")


@pytest.mark.long
def test_with_two_classes_networks_record_the_accuracy(tmp_path):
    problem, start = two_classes()
    theory = ts.integrate(problem, start, TIMES, observables=["accuracy", "norms"])
    networks = ts.simulate(problem, start, TIMES, N=200, seeds=4, observables=["accuracy"])
    assert theory.accuracy.dims == ("time",)
    assert networks.accuracy.dims == ("seed", "time")
    assert networks.accuracy.attrs == theory.accuracy.attrs
    one = networks.isel(seed=2)
    states = ts.OrderParameters(one.Q.values, m=one.m.values, v=one.v.values, b=one.b.values)
    np.testing.assert_allclose(one.accuracy, ts.accuracy(problem, states), atol=1e-12)
    report = ts.compare(theory, networks)
    deviation = theory.accuracy.values - networks.accuracy.mean("seed").values
    np.testing.assert_allclose(report.accuracy_deviation, deviation, atol=1e-12)
    ts.plot(ts.save(tmp_path / "run.h5", simulation=networks), tmp_path / "run.png")


@pytest.mark.long
@pytest.mark.slow
def test_networks_have_the_theorys_observables():
    problem, start = committee(), random_overlaps(3, 2)
    names = ["alignment", "norms", "effective_rank", "participation_ratio", ts.error_on(BEFORE)]
    times = [0.0, 1.0, 4.0]
    theory = ts.integrate(problem, start, times, observables=names)
    networks = ts.simulate(
        problem, start, times, N=2000, seeds=40, method="reduced", observables=names
    )
    report = ts.compare(theory, networks)
    assert report.verdict.startswith("AGREE"), report.verdict
    wrong = theory.copy(deep=True)
    wrong.alignment[:] = theory.alignment * (1 + 0.05 * theory.time)
    assert ts.compare(wrong, networks).verdict.startswith("DISAGREE")


@pytest.mark.long
def test_names_are_written_in_the_files_of_experiments():
    changes = {
        "theory.observables": ["alignment", "drift_Q"],
        "simulation.observables": ["alignment", "sparsity"],
        "times.stop": 1.0,
        "times.points": 3,
        "simulation.N": 50,
        "simulation.seeds": 2,
    }
    experiment = ts.Experiment.read("linear-noisy", changes=changes)
    tree = experiment.run(progress=False)
    assert {"alignment", "drift_Q"} <= set(tree["theory"].data_vars)
    assert {"alignment", "sparsity"} <= set(tree["simulation"].data_vars)
    assert "alignment_z" in tree["comparison"]
    wrong = {"theory.observables": ["norm"], "simulation.observables": ["drift_Q"]}
    with pytest.raises(ValueError, match=r"theory.observables\[0\] = 'norm' .*'norms'\? .*drift"):
        ts.Experiment.read("linear-noisy", changes=wrong)


def test_every_name_is_explained_where_it_is_asked_for():
    problem, _ = two_classes()
    text = " ".join(f"{ts.integrate.__doc__} {ts.simulate.__doc__}".split())
    for name in {*built_in(problem), *built_in(committee())}:
        assert f'"{name}"' in text, name


UNKNOWN = r"observables\[0\] = 'aligment' is none of the built-in observables \(alignment, .*"


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        (["aligment"], rf"{UNKNOWN}\); did you mean 'alignment'\?$"),
        (["xyz"], r"participation_ratio, .*\); give one of these, or a ts.Observable\.$"),
        (["norms", "norms"], "observables has two of the name 'norms'"),
        (["accuracy"], "the task TeacherStudent has no classes"),
        ([ts.error_on(ts.TeacherStudent(5))], "the task has 5 teacher units, but .* has 2"),
        ([ts.error_on(ts.SpikedCumulant(beta=1.0))], "SpikedCumulant and TeacherStudent has a te"),
        ([ts.error_on(ts.TeacherStudent(2, noise=[0.1, 0.2]))], "task.noise is a sequence"),
        (ts.error_on(BEFORE), r"observables is one Observable; give a list, \[eps_g_other\]"),
    ],
)
@pytest.mark.parametrize("verb", ["integrate", "simulate"])
def test_what_is_not_known_is_refused(verb, observables, message):
    arguments = {"N": N} if verb == "simulate" else {}
    with pytest.raises(ValueError, match=message):
        getattr(ts, verb)(
            committee(), random_overlaps(3, 2), [1e6], observables=observables, **arguments
        )


def test_an_error_on_labels_of_ones_own_must_be_known():
    class Doubled(ts.TeacherStudent):
        def label(self, fields, noise):
            return 2 * (self.activation(fields) @ self.v_star)

    with pytest.raises(ValueError, match="error_on: class Doubled changes .*give a task whose er"):
        ts.integrate(
            committee(), random_overlaps(3, 2), TIMES, observables=[ts.error_on(Doubled(2))]
        )


@pytest.mark.parametrize(
    ("verb", "name", "message"),
    [
        ("integrate", "sparsity", "'sparsity' is a function of a network's weights, which the"),
        ("simulate", "drift_Q", "'drift_Q' is a part of the order-parameter equations, which n"),
        ("simulate", "densities", "the overlaps by mode, which networks do not record"),
    ],
)
def test_each_verb_has_its_own(verb, name, message):
    arguments = {"N": N} if verb == "simulate" else {}
    with pytest.raises(ValueError, match=message):
        getattr(ts, verb)(
            committee(), random_overlaps(3, 2), TIMES, observables=[name], **arguments
        )


def test_with_two_classes_signs_are_asked_for_by_another_name():
    problem, start = two_classes()
    with pytest.raises(ValueError, match="not for SpikedCumulant; give 'accuracy'"):
        ts.integrate(problem, start, TIMES, observables=["sign_agreement"])


def test_two_histograms_have_the_same_bins():
    both = [ts.weight_histogram(EDGES), ts.weight_histogram(EDGES + 1, name="shifted")]
    with pytest.raises(ValueError, match="'shifted' has other coordinates along 'bin' than obs"):
        ts.simulate(committee(), random_overlaps(3, 2), TIMES, N=N, observables=both)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ts.weight_histogram(10), "bins = 10 are no edges of bins; give two or more"),
        (lambda: ts.weight_histogram([0.0, 1.0, 1.0]), "are no edges of bins"),
        (lambda: ts.weight_histogram([0.0, np.inf]), "bins"),
        (lambda: ts.sparsity(-1.0), "threshold"),
        (lambda: ts.error_on("SGD"), "task is 'SGD'; give a Task"),
        (
            lambda: ts.Observable("x", (), "$x$", of=len, coordinates={"bin": [1.0]}),
            r"has coordinates for 'bin', but dims = \(\)",
        ),
        (
            lambda: ts.Observable("x", ("a",), "$x$", of=len, coordinates=[1.0]),
            "coordinates = .*; give a dictionary",
        ),
    ],
)
def test_what_makes_no_observable_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
