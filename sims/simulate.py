"""The verb: train finite networks on a problem, or the finite system of another model."""

import os
from collections.abc import Iterable

import xarray as xr

import sims.models
import sims.two_layer  # noqa: F401
from sims.models.simulation import simulation_of_model
from sims.running.requests import Request
from teacherstudent.checking import arguments, checks
from teacherstudent.models.model import Model
from teacherstudent.models.state import State
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol, first_of
from teacherstudent.starts import Start, check_begins
from teacherstudent.training_set import Dataset


@arguments.checked
def simulate(
    problem: Problem | Model | Protocol,
    start: Start | State,
    times,
    *,
    N: int | None = None,
    seeds: int | Iterable[int] | None = None,
    method: str | None = None,
    dtype: str | None = None,
    test_samples: int | None = None,
    bank=None,
    data: Dataset | None = None,
    device: str | None = None,
    observables=(),
    keep: str | None = None,
    callback=None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Train finite networks on `problem` from `start`: the finite-N counterpart of `integrate`.

    - `problem`: a problem, or a `ts.Protocol` of several, one after the other.
    - `start`: every seed gets weights of its own with exactly these overlaps or, if the start came
      from `start_from_weights`, exactly those weights.  On a hidden manifold, a seed without given
      weights has a manifold of its own.  A batch of starts has one for each seed.  From the state
      of another simulation (`ts.last_state`) the run goes on at its time: with the networks, the
      seeds, N, method and dtype that it had, and the same random streams, so that all numbers are
      those of one run.
    - `times`: increasing times t = updates / N at which to record (t = updates with
      `Problem.batch_ratio`).  Recorded is the nearest whole number of updates, and the coordinate
      `time` of the answer is that number over N.
    - `N`: the input dimension; may be left out if the start has weights, `data` is given, or the
      task's arrays fix it.
    - `seeds`: a number S (seeds 0..S-1) or the seeds themselves, 8 unless given; under
      `jax.distributed` each process runs its share of them and returns the answer for all.  Each is
      a random stream of its own: its numbers do not depend on which others run beside it (on
      structured inputs up to the rounding of a matrix product).
    - `method`: "weights", the default, trains the full weight vectors.  "reduced" runs the exact
      Markov chain of the overlaps at this N, of the same law and at a cost that does not depend on
      N: for isotropic inputs (teacher-student, spikes, mixtures) and rules that see no coordinate
      axes (SGD, SphericalSGD, HeavyBall, AGD, Fromage).  "auto" takes it where it is exact.
    - `dtype`: "float32", the default, or "float64" for weights and inputs; overlaps are always
      summed in float64.
    - `test_samples`: also record `test_error`, half the mean squared error against noise-free
      labels on this many held-out samples (rounded up to thousands; the same ones at each time),
      and its standard error `test_error_se`; with two classes, `test_loss` and `test_accuracy` with
      their standard errors.  None is 4000 with `data`, and none without.
    - `bank`: a pair (x, c) of inputs (samples, N) and latents (samples, D): each step draws from
      these samples, with replacement, instead of fresh inputs; label noise is fresh at each draw.
      The inputs are as the generator makes them: the task's mean is subtracted.  The last
      `test_samples` (not rounded) are held out.
    - `data`: a `ts.Dataset`, P samples with fixed labels on which the networks train over and over,
      as in batch learning.  Also recorded is `train_error`, half the mean squared error on all of
      them against their noisy labels (with two classes `train_loss`, the mean loss), at the cost of
      as many steps for each recorded time.  The task says what is tested: Q, R, eps_g and
      `test_error` are of fresh inputs of its own law, and mean nothing for samples of another one.
      As of a bank's, the task's mean is subtracted from the inputs.  No theory here is of a fixed
      set: `compare` says so.
    - `device`: "cpu" or "gpu", all of this kind with the seeds shared out over them, or one of
      them, "gpu:1"; JAX's default kind unless given.  Seeds that do not fit the memory together run
      in groups, one after the other.
    - `observables`: what else to record at each time for every seed: a list of `ts.Observable`, of
      `ts.error_on`, and of names.  Of the order parameters, with both methods: "alignment",
      "norms", "effective_rank", "participation_ratio"; "sign_agreement" with a teacher,
      "expected_loss" with one that tells signs, "accuracy" with two classes; "feedback_alignment"
      and "gradient_alignment" (`ts.FeedbackAlignment`); "eps_teacher" and "eps_target"
      (`ts.LabelAttack`).  Of the weights, with whole weights only: "weight_histogram"
      (`ts.weight_histogram`), "sparsity" (`ts.sparsity`) and "participation",
      N sum_i w_i^4 / (sum_i w_i^2)^2.
    - `keep`: "weights" keeps the networks at the last time, `w_last` (seed, student, input) and
      `w_star_last`, with what the rule remembers, in the type of `dtype` and compressed in files;
      `ts.last_state` needs them.  The chain of the overlaps is always kept: it is small.
    - `callback`: a function f(t, record) that is called after each recorded time, with what was
      recorded: arrays with the seeds first, by the names of the answer.  Where it returns True the
      run stops, the answer has the times so far, and the report `stopped_by_callback`, the time.
      What it raises passes through, the checkpoint kept.  Of seeds in groups it sees one group
      after the other, and later groups train up to where an earlier one was stopped; of a run that
      goes on from a checkpoint it sees all records, too.  A checkpoint of a run that was stopped
      stays: without the callback the same call goes on from there.
    - `checkpoint`: a file that keeps the state of a long run, about once a minute and where it is
      interrupted (Ctrl-C); if it exists, the run goes on from it, and the numbers are those of one
      run.  It is deleted when the run is complete.  A disk that does not take it is told in a
      warning, and the run goes on.
    - `progress`: a progress bar; None shows one on a terminal and in a notebook.

    Returns an `xarray.Dataset` with Q, R, T, v, eps_g and, where biases are trained, b along `seed`
    and `time`, with two classes Q, m, v, b and the expected `loss`.  Q and R are measured with the
    exact covariances of the inputs or, where these are not known (a generator, several layers), on
    held-out samples: 4000 unless `test_samples` says more, at the cost of as many steps for each
    recorded time.  eps_g is the closed form at the measured overlaps, which supposes Gaussian
    fields; where `test_error` differs from it, they are not Gaussian, and `compare` says so.
    Memory: a hidden manifold without given weights holds about 20 N D + 16 N^2 bytes for each seed.

    Raises ValueError for input that does not fit, before any work; `DivergenceError` with the time
    at which a network stopped being finite, or at which its error was recorded beyond 1e6 (of
    max(1, its start)), and in `partial` the records before it.  Weights beyond that bound whose
    error is not, as where activations saturate, are told in a warning.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=0.5 * np.eye(3), R=np.zeros((3, 2)))
    >>> networks = ts.simulate(problem, start, [0.0, 1.0], N=100, seeds=4)
    >>> dict(networks.R.sizes)
    {'seed': 4, 'time': 2, 'student': 3, 'teacher': 2}
    >>> bool((networks.eps_g[:, 1] < networks.eps_g[:, 0]).all())
    True
    """
    times = checks.times(times)
    first = first_of(problem)
    first.check_start(start)
    check_begins(start, times)
    request = Request(
        problem,
        start,
        times,
        N,
        seeds,
        method,
        dtype,
        test_samples,
        bank,
        data,
        device,
        observables,
        keep,
        callback,
        checkpoint,
        progress,
    )
    return simulation_of_model(first).simulate(request)
