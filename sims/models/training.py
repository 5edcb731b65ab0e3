"""The training of a model's systems: all seeds at once, in the loop of `sims.running`."""

import dataclasses
import time
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from sims.running import hosts
from sims.running.callback import checked_callback
from sims.running.continuing import all_numbers, from_numbers, networks_of
from sims.running.devices import FIRST, SHARED, Place, place
from sims.running.divergence import diverged
from sims.running.groups import Bytes, Records, groups_that_fit, paths_of, run_groups
from sims.running.loop import NEVER, TRAINING, Training, stream_keys
from sims.running.phases import PhasedTraining
from sims.running.requests import Request, own_checkpoint, recorded_steps
from teacherstudent.checking import checks
from teacherstudent.errors import DivergenceError
from teacherstudent.extensions.over_time import check_over_time
from teacherstudent.models.thresholds import check_quantity, value_of
from teacherstudent.programs.compilation import options
from teacherstudent.protocol import Protocol, Until, first_of, problems_of
from teacherstudent.results import checkpoint_files
from teacherstudent.results.model_datasets import model_dataset
from teacherstudent.results.phases import with_protocol
from teacherstudent.schedules import values_along
from teacherstudent.states.kept import KeptNetworks
from teacherstudent.states.physical_region import bound_of_divergence
from teacherstudent.streams import WEIGHTS_OF_A_NETWORK, stream
from teacherstudent.tasks.base import with_fields

BLOCK = 1  # every update draws its own random numbers
NO_MEANING = ("bank", "data", "test_samples")  # of a verb's arguments, for models
MOMENTS = 100  # at which schedules are looked at for the fingerprint of a checkpoint


class Systems(NamedTuple):
    """The systems of all seeds, the seeds first, and when each stopped being finite."""

    networks: dict[str, Any]
    diverged: Int[Array, " seeds"]


class Settings(NamedTuple):
    """What all groups of seeds share."""

    simulation: Any
    model: Any
    start: Any
    N: int
    method: str
    dtype: str
    steps: list[int]
    place: Place
    keeps: bool  # whether the systems at the last time go into the answer
    protocol: Protocol | None  # of which `model` is the first phase's, or that of the present one

    @property
    def first_step(self) -> int:
        """The number of updates before this run."""
        if self.start.kept is not None:
            return self.start.kept.step
        return round(self.start.time * self.model.updates_per_time(self.N))


def begun_systems(settings: Settings, model: Any, seeds: list[int]) -> dict[str, np.ndarray]:
    """The systems of a model at the start, the seeds first."""
    state = model.begun(settings.start)
    systems = [
        settings.simulation.begin(
            model, state, settings.N, stream(seed, WEIGHTS_OF_A_NETWORK), settings.method
        )
        for seed in seeds
    ]
    kind = np.dtype("float64" if settings.method == "reduced" else settings.dtype)
    return {name: _in_type(np.stack([one[name] for one in systems]), kind) for name in systems[0]}


class ModelTraining(Training):
    """The systems of some seeds."""

    axis = 0

    def __init__(self, settings: Settings, seeds: list[int]):
        shared = settings
        super().__init__(
            shared.model, shared.N, seeds, shared.steps, shared.place, (), shared.first_step
        )
        self.settings = settings
        filled = self.place.filled(seeds)
        exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), shared.model)
        self.model = self.place.put(exact, SHARED)
        self.keys = self.place.put(stream_keys(filled, TRAINING), FIRST)
        networks = self._begun(filled)
        self.run = self.place.put(
            Systems(networks, jnp.full(len(filled), NEVER, jnp.uint32)), FIRST
        )
        self.blocks = {"loop": BLOCK}
        marks = ["model", shared.method, shared.N, shared.steps, seeds, shared.dtype, self.done]
        chosen = np.linspace(0, shared.steps[-1], MOMENTS) / shared.model.updates_per_time(self.N)
        arrays = [*jax.tree.leaves(networks), *values_along(shared.model.scheduled, chosen)]
        self.mark = checkpoint_files.fingerprint(shared.model, arrays, marks)

    def _begun(self, seeds: list[int]) -> dict[str, np.ndarray]:
        """The systems at the start: of a state that was kept the ones it has."""
        settings = self.settings
        systems = begun_systems(settings, settings.model, seeds)
        kept = settings.start.kept
        if kept is None:
            return systems
        of_seeds = networks_of(kept, self.seeds)
        members = np.minimum(np.arange(len(seeds)), len(self.seeds) - 1)
        return from_numbers(systems, np.asarray(of_seeds.chain)[members], 0)

    def advanced(self, first, count) -> Systems:
        settings = self.settings
        program = _program(settings.place, settings.simulation, settings.N, settings.method)
        return program(self.model, self.keys, self.run, first, count)

    def record(self) -> dict[str, np.ndarray]:
        settings = self.settings
        recorded = _recorded(
            settings.simulation, self.N, settings.method, self.model, self.now, self.run.networks
        )
        return {name: np.asarray(one)[: len(self.seeds)] for name, one in recorded.items()}

    def observed(self, row):
        return {}

    def check_seeds(self, row: dict[str, np.ndarray], begin: dict, inside: np.ndarray) -> None:
        """Raise DivergenceError where a quantity of some seeds is not finite, or their state beyond
        all bounds.
        """
        seeds = [seed for seed, one in zip(self.seeds, inside, strict=True) if one]
        for name, values in row.items():
            of_seeds = np.abs(values[inside]).reshape(len(seeds), -1)
            finite = np.isfinite(of_seeds).all(axis=1)
            if not finite.all():
                raise diverged(seeds, finite, self.now, f"{name} is not finite")
            if name in self.settings.model.STATE:
                bound = bound_of_divergence(begin.get(name, 0.0))
                small = of_seeds.max(axis=1, initial=0.0) <= bound
                if not small.all():
                    what = f"its {name} is {of_seeds.max():.3g}, more than {bound:.0e}"
                    raise diverged(seeds, small, self.now, what)

    def quantity(self, until: Until, row: dict[str, np.ndarray]) -> np.ndarray:
        return value_of(until, self.settings.model, row)

    def end(self) -> dict[str, np.ndarray]:
        if not self.settings.keeps:
            return {}
        return {"chain_last": self._all_numbers()}

    def _all_numbers(self) -> Float[np.ndarray, "seeds entries"]:
        """The systems of all seeds as rows of numbers."""
        return all_numbers(self.run.networks, len(self.seeds), 0, np.float64)

    def kept(self, start: Any) -> KeptNetworks:
        return KeptNetworks(
            rule="",
            start=start,
            method=self.settings.method,
            N=self.N,
            dtype=self.settings.dtype,
            seeds=list(self.seeds),
            step=self.done,
            chain=self._all_numbers(),
        )


def _in_type(array: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Floating-point numbers in the type of the run; counts stay counts."""
    if array.dtype.kind == "f":
        return array.astype(kind)
    return array


@cache
def _program(where: Place, simulation: Any, N: int, method: str):
    """The compiled steps, on every device with its own seeds."""
    steps = partial(_steps, simulation, N, method)
    specs = (SHARED, FIRST, FIRST, SHARED, SHARED)
    return jax.jit(
        where.sharded(steps, specs, FIRST),
        donate_argnums=2,
        compiler_options=options(where.platform),
    )


def _steps(simulation: Any, N: int, method: str, model, keys, run, first, count):
    """`count` more updates of all seeds, of which the first has the number `first`."""

    def one(number, network, key):
        of_update = jax.random.fold_in(key, number)
        return simulation.step(model, N, method, number.astype(float), network, of_update)

    def all_seeds(index, run: Systems) -> Systems:
        number = first + index.astype(jnp.uint32)
        networks = jax.vmap(partial(one, number))(run.networks, keys)
        finite = jnp.stack([_finite(part) for part in networks.values()]).all(axis=0)
        step = jnp.where(finite, jnp.uint32(NEVER), number + 1)
        return Systems(networks, jnp.minimum(run.diverged, step))

    return jax.lax.fori_loop(0, count.astype(jnp.int32), all_seeds, run)


def _finite(part: Array) -> Array:
    return jnp.isfinite(part.reshape(len(part), -1)).all(axis=1)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _recorded(simulation, N: int, method: str, model, t, networks) -> dict[str, Array]:
    """The state of all seeds, and what is recorded beside it."""

    def of_one(network):
        state = {
            name: jnp.asarray(part, float)
            for name, part in simulation.state(model, N, method, network).items()
        }
        return {**state, **model.at(t).observed(t, state)}

    return jax.vmap(of_one)(networks)


def simulated(simulation: Any, request: Request) -> xr.Dataset:
    """What the verb `simulate` answers for a model."""
    start = request.start
    _refuse(request)
    settings, all_seeds = _settings(simulation, request)
    model = settings.model
    _check_problems(settings, request)
    watcher = checked_callback(request.callback, model)
    seeds = hosts.share(all_seeds)
    checkpoint = own_checkpoint(request.checkpoint)
    report = _report(request, settings, all_seeds)
    began = time.perf_counter()
    with jax.enable_x64(True), jax.default_device(settings.place.devices[0]):
        state = model.begun(start)
        one = simulation.begin(
            model, state, settings.N, stream(0, WEIGHTS_OF_A_NETWORK), settings.method
        )
        needed = Bytes(0, simulation.bytes_of_seed(model, settings.N, one))
        groups = groups_that_fit(seeds, needed, settings.place, settings.N, hosts.processes_here())
        try:
            with hosts.all_or_none():
                records = run_groups(
                    groups,
                    partial(_training, settings),
                    checkpoint,
                    request.progress,
                    watcher,
                )
        except DivergenceError as error:
            if error.partial is not None:
                partial_records = Records(error.partial, {})
                error.partial = _labelled(settings, seeds, partial_records, report)
            raise
        rows = hosts.gathered(records.rows)
        (end,) = hosts.gathered([records.end])
        if len(rows) == len(settings.steps):
            for path in paths_of(groups, checkpoint):
                checkpoint_files.drop(path)
    last_step = settings.steps[len(rows) - 1]
    report["last_step"] = last_step
    if watcher is not None and watcher.stopped:
        report["stopped_by_callback"] = last_step / model.updates_per_time(settings.N)
    report["seconds"] = round(time.perf_counter() - began, 3)
    return _labelled(settings, all_seeds, Records(rows, end), report)


def _training(settings: Settings, seeds: list[int]) -> Training:
    """The training of some seeds, through all phases of a protocol."""
    protocol = settings.protocol
    if protocol is None:
        return ModelTraining(settings, seeds)

    def begin(number: int, kept: KeptNetworks | None, step: int) -> Training:
        model, start = protocol.problems[number], settings.start
        if kept is not None:
            before = protocol.problems[number - 1]
            kept = _entered(settings, model, before, kept)
            time = step / model.updates_per_time(settings.N)
            start = with_fields(start, {"kept": kept, "time": time})
        return ModelTraining(settings._replace(model=model, start=start), seeds)

    return PhasedTraining(protocol, begin, settings.start, settings.first_step)


def _entered(settings: Settings, model: Any, before: Any, kept: KeptNetworks) -> KeptNetworks:
    """The systems with which a phase begins, from those with which the one before it ended."""
    like = begun_systems(settings._replace(start=_without_kept(settings.start)), before, kept.seeds)
    systems = from_numbers(like, np.asarray(kept.chain), 0)
    entered = []
    for index in range(len(kept.seeds)):
        one = {name: part[index] for name, part in systems.items()}
        entered.append(settings.simulation.entered(model, before, settings.N, settings.method, one))
    together = {name: np.stack([one[name] for one in entered]) for name in entered[0]}
    chain = all_numbers(together, len(kept.seeds), 0, np.float64)
    return dataclasses.replace(kept, chain=chain)


def _without_kept(start: Any) -> Any:
    return with_fields(start, {"kept": None, "time": 0.0})


def _check_problems(settings: Settings, request: Request) -> None:
    """Raise ValueError for what the systems of a model, or of a phase, cannot do."""
    start, times = request.start, request.times
    for model in problems_of(request.problem):
        settings.simulation.check(model, settings.N, settings.method)
        check_over_time(model, start.time, times[-1], times)
        model.check_run(start.time, float(times[-1]))
    if settings.protocol is not None:
        settings.protocol.check_times(start.time, times)
        for phase in settings.protocol.phases:
            if phase.threshold is not None:
                check_quantity(phase.threshold, phase.problem)


def _refuse(request: Request) -> None:
    """Raise ValueError for arguments without a meaning for models, and for sweeps."""
    first = first_of(request.problem)
    kind = type(first).__name__
    for name in NO_MEANING:
        if getattr(request, name) is not None:
            raise ValueError(f"{name} has no meaning for a {kind}; leave it out.")
    if list(request.observables):
        recorded = ", ".join(first.RECORDED)
        raise ValueError(
            f"observables are of order parameters Q, R, v; a {kind} records {recorded}: leave "
            "them out."
        )
    if first.sweeps:
        raise ValueError(
            "simulate runs one model, but was given a sequence for "
            f"{', '.join(first.sweeps)}; call it once for each value."
        )


def _settings(simulation: Any, request: Request) -> tuple[Settings, list[int]]:
    """What the run is, with what a state of another one fixes."""
    kept = request.start.kept
    method = simulation.method_called(request.method or (kept.method if kept else None))
    dtype = request.dtype or (kept.dtype if kept else "float32")
    checks.one_of("dtype", dtype, ("float32", "float64"))
    N = request.N if request.N is not None else (kept.N if kept else None)
    if N is None:
        raise ValueError("N is missing; give the dimension of the networks.")
    seeds = request.seeds
    if seeds is None:
        seeds = kept.seeds if kept else 8
    if kept is not None and (method, dtype, N) != (kept.method, kept.dtype, kept.N):
        raise ValueError(
            f"the start is a state of networks with method = {kept.method!r}, dtype = "
            f"{kept.dtype!r} and N = {kept.N}; go on with the same, or leave these out."
        )
    N = checks.integer("N", N)
    model, start = first_of(request.problem), request.start
    steps = recorded_steps(request.times, model.updates_per_time(N))
    devices = place(request.device)
    protocol = request.problem if isinstance(request.problem, Protocol) else None
    if request.keep is not None:
        checks.one_of("keep", request.keep, ("weights",))
    keeps = method == "reduced" or request.keep is not None
    found = Settings(simulation, model, start, N, method, dtype, steps, devices, keeps, protocol)
    return found, checks.seeds(seeds)


def _report(request: Request, settings: Settings, seeds: list[int]) -> dict:
    """How the numbers are made."""
    report = {
        "N": settings.N,
        "seeds": seeds,
        "method": settings.method,
        "dtype": settings.dtype,
        "device": str(settings.place),
        "program": "loop",
        "overlaps": "exact",
    }
    if request.start.kept is not None:
        report["continued_at"] = request.start.time
    return report


def _labelled(
    settings: Settings, seeds: list[int], records: Records, report: Mapping
) -> xr.Dataset:
    """The records as a dataset; fewer of them than steps if the run ended before."""
    rows = records.rows
    per_time = settings.model.updates_per_time(settings.N)
    recorded = np.asarray(settings.steps[: len(rows)]) / per_time
    values = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    coordinates = {"seed": np.asarray(seeds), "time": recorded}
    data = model_dataset(
        "simulation",
        settings.model,
        settings.start,
        coordinates,
        values | records.end,
        ("seed",),
        report,
    )
    if settings.protocol is not None:
        data = with_protocol(data, settings.protocol)
    return data
