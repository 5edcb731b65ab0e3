"""How a model is simulated at finite N: the contract of its simulation."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array

from teacherstudent.checking import checks
from teacherstudent.checking.contracts import changes, check_registration, is_ours, nearest


class ModelSimulation(abc.ABC):
    """The finite system of one model: the base of every model's simulation.

    To give a model a simulation, subclass `ModelSimulation` and name the model,
    `class SimulationOfMine(ts.ModelSimulation, model=Mine)`, and write, each of one seed:

    - `begin(model, state, N, generator, method)`: the system at the start, a dictionary of NumPy
      arrays; `generator` is the seed's own.
    - `step(model, N, method, number, network, key)`: the system after one more update, in JAX, of
      which `number` came before; `key` is new for each update.
    - `state(model, N, method, network)`: the state now, as the model's `STATE` names it.

    Where weights on isotropic inputs move by multiples of these, `ts.RowsSimulation` needs less,
    and has a reduced chain as well.

    A walker in N dimensions, who forgets where he was:

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> class Walker(ts.Model):
    ...     STATE = {"r": ts.Quantity((), "squared distance over N", "$r$")}
    ...     RECORDED = {"distance": ts.Quantity((), "distance", "$d$")}
    ...     ERROR = "distance"
    ...     shapes = {"r": ()}
    ...
    ...     def observed(self, t, state):
    ...         return {"distance": jnp.sqrt(state["r"])}
    >>> class SimulationOfWalker(ts.ModelSimulation, model=Walker):
    ...     def begin(self, model, state, N, generator, method):
    ...         return {"x": generator.standard_normal(N) * state["r"] ** 0.5}
    ...
    ...     def step(self, model, N, method, number, network, key):
    ...         x = network["x"]
    ...         noise = jax.random.normal(key, x.shape, x.dtype) * (2 / N) ** 0.5
    ...         return {"x": x * (1 - 1 / N) + noise}
    ...
    ...     def state(self, model, N, method, network):
    ...         return {"r": (network["x"] ** 2).mean()}
    >>> walks = ts.simulate(Walker(), ts.State(r=4.0), [0.0, 5.0], N=500, seeds=3)
    >>> bool(abs(walks.distance[:, 1].mean() - 1) < 0.1)
    True
    """

    registered: ClassVar[dict[type, Any]] = {}  # the simulation of each class of models
    METHODS: ClassVar[tuple[str, ...]] = ("weights",)

    def __init_subclass__(cls, model: type | None = None, **kwargs: Any):
        check_registration(cls, ModelSimulation, "model", "step", model, kwargs)
        super().__init_subclass__()
        if model is not None:
            ModelSimulation.registered[model] = cls()
            if not is_ours(cls):  # programs may have been compiled with another one of this name
                jax.clear_caches()

    def method_called(self, method: str | None) -> str:
        """The method of a name, "auto" for the fastest one and None for whole weights.

        Raises ValueError for one that there is not.
        """
        if method is None:
            return "weights"
        checks.one_of("method", method, (*self.METHODS, "auto"))
        if method == "auto":
            return self.METHODS[-1]
        return method

    def check(self, model: Any, N: int, method: str) -> None:
        """Raise ValueError, with the reason, where there is no such system."""

    @abc.abstractmethod
    def begin(
        self,
        model: Any,
        state: Mapping[str, np.ndarray],
        N: int,
        generator: np.random.Generator,
        method: str,
    ) -> dict[str, np.ndarray]:
        """The system of one seed at the start."""

    @abc.abstractmethod
    def step(
        self, model: Any, N: int, method: str, number, network: dict[str, Array], key
    ) -> dict[str, Array]:
        """The system after one more update, of which `number` came before."""

    @abc.abstractmethod
    def state(self, model: Any, N: int, method: str, network: dict[str, Array]) -> dict[str, Array]:
        """The state of the model now."""

    def entered(
        self, model: Any, before: Any, N: int, method: str, network: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The system of one seed with which a phase of a protocol begins, from that at the end of
        the phase of the model `before`: the same unless the systems keep something else.
        """
        return network

    def bytes_of_seed(self, model: Any, N: int, network: Mapping[str, np.ndarray]) -> int:
        """The memory that one seed takes."""
        return 4 * sum(np.asarray(part).nbytes for part in network.values())

    def simulate(self, request: Any) -> Any:
        """What the verb `simulate` answers."""
        from sims.models.training import simulated

        return simulated(self, request)


def simulation_of_model(model: Any) -> Any:
    """The simulation of a model.

    Raises ValueError for a model without one; a subclass of a model has none until it brings its
    own.
    """
    base = nearest(type(model), ModelSimulation.registered)
    if base is not None and not changes(type(model), base):
        return ModelSimulation.registered[base]
    kind = type(model).__name__
    raise ValueError(
        f"a {kind} has no simulation: write class SimulationOf{kind}(ts.ModelSimulation, "
        f"model={kind}), or integrate it."
    )
