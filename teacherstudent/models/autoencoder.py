"""A shallow non-linear autoencoder on inputs with a few leading principal components.

    x = sum_t sqrt(N s_t) c_t e_t + sigma xi,    c ~ N(0, I_P),  xi ~ N(0, I_N),  e_t orthonormal
    xhat = sum_k v_k g(lambda_k),    lambda_k = w_k . x / sqrt N + b_k

The order parameters are those of encoder and decoder along the spikes and in the bulk,

    w_kt = w_k . e_t,    V_kt = v_k . e_t / sqrt N,    beta = v_perp v_perp^T / N,
    Omega = w_perp w_perp^T / N,

of which Omega, here `bulk`, does not move.  From them

    Q   = sum_t s_t w_t w_t^T + sigma^2 Omega       the covariance of the fields
    C   = sum_t s_t w_t V_t^T                       C_kl = E[lambda_k (v_l . x)] / N
    T0  = sum_t V_t V_t^T + beta                    v v^T / N.

Tied weights are w = v / sqrt N.  Encoder and decoder are then the same along the spikes,
w_kt = V_kt, since the decoder has components of order sqrt N there; Omega is of order 1 / N.

Refinetti & Goldt, ICML 2022 (arXiv:2201.02115).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation, as_activation
from teacherstudent.averages.layer import LayerAverages, layer_averages
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.models.model import Model, Quantity, registered
from teacherstudent.models.state import State

UNITS = ("student", "student_")
SMALLEST = -1e-9  # eigenvalue of a covariance, relative to its largest entry


@registered
class Autoencoder(Model):
    """A shallow autoencoder that learns principal components, one input at a time.

    Inputs have variance N s_t along P directions and sigma^2 along all others.  Each update is one
    step of gradient descent on |x - xhat|^2 / 2, with xhat = sum_k v_k g(w_k.x / sqrt N + b_k):

        v_k <- v_k + (eta_v / N) g(lambda_k) (x - xhat)
        w_k <- w_k + (eta_w / N^2) g'(lambda_k) [v_k . (x - xhat)] x / sqrt N
        b_k <- b_k + (eta_b / N^2) g'(lambda_k) [v_k . (x - xhat)]

    Time is t = updates / N.  With these scalings there are no terms of second order in the rates:
    they only say how fast decoder and encoder move.

    - `spikes` (P,): the variances s_t.
    - `bulk_variance`: sigma^2.
    - `width`: the number K of hidden units.
    - `activation`: g, as that of a student; without jumps.
    - `encoder_rate`, `decoder_rate`: eta_w and eta_v, which may be schedules or sequences.
    - `truncated`: whether unit k sees the reconstruction by the units 1..k only, which makes it
      find single components, in order, where the full rule finds a rotated basis of them.
    - `train_bias`: whether units have biases b, which move with the rate `bias_rate`, eta_b, that
      of the encoder unless given; at rate 0 they stay.
    - `tied`: whether encoder and decoder are one, w_k = v_k / sqrt N, which moves by both updates:
      lambda_k = v_k.x / N + b_k.  With another factor, w = v, fields of order one would have a
      reconstruction that captures nothing of the spikes as N grows.

    Its state is `ts.State(w=..., V=..., beta=..., bulk=...)`: the encoder (K, P), the decoder
    (K, P), the bulk of the decoder (K, K) and that of the encoder (K, K); with biases also `b`
    (K,); tied weights have V and beta alone.  A start may leave out beta and b, and V of untied
    weights, which are zero then, and `bulk`, which is the identity.  `random_start` draws one.

    Recorded besides: `Q`, the covariance of the fields; `encoder_alignment` and
    `decoder_alignment` (K, P), cosines of sqrt(s_t) w_kt with the fields and of V_kt with the
    decoder; `pmse`, the error |x - xhat|^2 / N, and `pca_error`, the smallest that K linear units
    can reach.

    Raises ValueError if a variance or a rate is negative, or the activation jumps.

    Refinetti & Goldt, ICML 2022 (arXiv:2201.02115).

    >>> import teacherstudent as ts
    >>> model = ts.Autoencoder(spikes=[1.0, 0.5], width=2, truncated=True)
    >>> theory = ts.integrate(model, model.random_start(seed=0), times=[0.0, 10.0])
    >>> bool(theory.pmse[-1] < theory.pmse[0])
    True
    """

    NUMBERS = ("bulk_variance", "encoder_rate", "decoder_rate", "bias_rate")
    STATE: ClassVar[Mapping[str, Quantity]] = MappingProxyType(
        {
            "w": Quantity(("student", "spike"), "encoder along the spikes", r"$w_{k\tau}$"),
            "V": Quantity(("student", "spike"), "decoder along the spikes", r"$V_{k\tau}$"),
            "beta": Quantity(UNITS, "overlap of decoders in the bulk", r"$\beta_{kl}$"),
            "bulk": Quantity(UNITS, "overlap of encoders in the bulk", r"$\Omega_{kl}$", False),
            "b": Quantity(("student",), "biases of the units", "$b_k$"),
        }
    )
    RECORDED: ClassVar[Mapping[str, Quantity]] = MappingProxyType(
        {
            "Q": Quantity(UNITS, "covariance of the fields", r"$Q_{kl}$"),
            "encoder_alignment": Quantity(
                ("student", "spike"), "alignment of encoder and spike", r"$c^w_{k\tau}$"
            ),
            "decoder_alignment": Quantity(
                ("student", "spike"), "alignment of decoder and spike", r"$c^V_{k\tau}$"
            ),
            "pmse": Quantity((), "reconstruction error per input", r"$\mathrm{pmse}$"),
            "pca_error": Quantity((), "error of PCA", r"$\mathrm{pmse}_{\rm PCA}$"),
        }
    )
    ERROR = "pmse"

    spikes: Float[AnyArray, " spikes"]
    bulk_variance: checks.Parameter
    width: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    encoder_rate: checks.Parameter
    decoder_rate: checks.Parameter
    truncated: bool = eqx.field(static=True)
    train_bias: bool = eqx.field(static=True)
    bias_rate: checks.Parameter | None
    tied: bool = eqx.field(static=True)

    @arguments.of("model.")
    def __init__(
        self,
        spikes,
        bulk_variance=1.0,
        width=1,
        activation="erf",
        encoder_rate=1.0,
        decoder_rate=1.0,
        truncated: bool = False,
        train_bias: bool = False,
        bias_rate=None,
        tied: bool = False,
    ):
        self.spikes = _variances(spikes)
        self.bulk_variance = checks.parameter(bulk_variance)
        self.width = checks.integer("model.width", width)
        self.activation = _without_jumps(as_activation(activation, "model.activation"))
        self.encoder_rate = checks.parameter(encoder_rate)
        self.decoder_rate = checks.parameter(decoder_rate)
        self.truncated = truncated
        self.train_bias = train_bias
        self.bias_rate = checks.parameter(bias_rate)
        self.tied = tied
        for name in ("bulk_variance", "encoder_rate", "decoder_rate"):
            checks.number(f"model.{name}", getattr(self, name))
        checks.optional_number("model.bias_rate", self.bias_rate)
        if bias_rate is not None and not train_bias:
            raise ValueError(
                "model.bias_rate is given, but there are no biases; give model.train_bias = True "
                "as well."
            )

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        K, P = self.width, len(self.spikes)
        shapes: dict[str, tuple[int, ...]] = {"w": (K, P), "V": (K, P), "beta": (K, K)}
        shapes["bulk"] = (K, K)
        if self.tied:
            shapes = {"V": (K, P), "beta": (K, K)}
        if self.train_bias:
            shapes["b"] = (K,)
        return shapes

    def defaults(self) -> dict[str, Any]:
        shapes = dict(self.shapes)
        zero = ["beta", "b"] if self.tied else ["beta", "b", "V"]
        values = {name: np.zeros(shapes[name]) for name in zero if name in shapes}
        if not self.tied:
            values["bulk"] = np.eye(self.width)
        return values

    def check_state(self, state: Mapping[str, np.ndarray]) -> None:
        for name in ("beta", "bulk"):
            if name in state:
                _check_covariance(f"start.{name}", state[name])

    def random_start(self, seed: int = 0, encoder: float = 1.0, decoder: float = 0.1) -> State:
        """The state of Gaussian weights with these standard deviations, for N -> infinity.

            w_kt ~ N(0, encoder^2),  V = 0,  beta = decoder^2 I,  Omega = encoder^2 I

        V vanishes because a random decoder has v_k . e_t of order one.  Tied weights begin with

            V_kt ~ N(0, encoder^2),  beta = decoder^2 I,

        since they would learn nothing from V = 0.  Biases begin at zero.

        Raises ValueError if a deviation is negative.

        >>> import teacherstudent as ts
        >>> ts.Autoencoder(spikes=[1.0, 0.5]).random_start(seed=1, encoder=0.5).w.shape
        (1, 2)
        """
        seed = checks.integer("seed", seed, minimum=0)
        encoder = checks.single("encoder", encoder)
        decoder = checks.single("decoder", decoder)
        shapes = self.shapes
        drawn = encoder * np.random.default_rng(seed).standard_normal(shapes["V"])
        beta = decoder**2 * np.eye(self.width)
        if self.tied:
            return State(V=drawn, beta=beta)
        bulk = encoder**2 * np.eye(self.width)
        return State(w=drawn, V=np.zeros(shapes["V"]), beta=beta, bulk=bulk)

    @property
    def sees(self) -> Float[np.ndarray, "student student_"]:
        """m_kl: 1 if unit k sees the reconstruction by unit l, else 0."""
        everything = np.ones((self.width, self.width))
        if self.truncated:
            return np.tril(everything)
        return everything

    @property
    def eta_b(self) -> Any:
        """The rate of the biases: that of the encoder unless given."""
        return self.encoder_rate if self.bias_rate is None else self.bias_rate

    def encoder(self, state: Mapping[str, Array]) -> Float[Array, "student spike"]:
        """w_kt, which is V_kt of tied weights."""
        return state["V"] if self.tied else state["w"]

    def field_covariance(self, state: Mapping[str, Array]) -> Array:
        """Q = sum_t s_t w_t w_t^T + sigma^2 Omega, where Omega = 0 of tied weights."""
        w = self.encoder(state)
        along_spikes = (w * jnp.asarray(self.spikes)[None, :]) @ w.T
        if self.tied:
            return along_spikes
        return along_spikes + self.bulk_variance * state["bulk"]

    def averages(self, state: Mapping[str, Array]) -> LayerAverages:
        """The averages of the units over their fields."""
        Q = self.field_covariance(state)
        b = state["b"] if self.train_bias else jnp.zeros(self.width, Q.dtype)
        return layer_averages(self.activation, b, Q)

    def decoder_overlap(self, state: Mapping[str, Array]) -> Array:
        """T0 = sum_t V_t V_t^T + beta, which is v v^T / N."""
        return state["V"] @ state["V"].T + state["beta"]

    def observed(self, t, state: Mapping[str, Array]) -> dict[str, Array]:
        Q = self.field_covariance(state)
        T0 = self.decoder_overlap(state)
        spikes = jnp.asarray(self.spikes)
        roots = jnp.sqrt(spikes)
        return {
            "Q": Q,
            "encoder_alignment": _inverse_root(Q)[:, None] * self.encoder(state) * roots[None, :],
            "decoder_alignment": state["V"] * _inverse_root(T0)[:, None],
            "pmse": self._error(state, T0),
            "pca_error": self.bulk_variance + jnp.sum(jnp.sort(spikes)[: -self.width]),
        }

    def _error(self, state: Mapping[str, Array], T0: Array) -> Array:
        """pmse = sum_t s_t + sigma^2 - 2 sum_k C_kk E g'_k + sum_kl T0_kl I2_kl."""
        averages = self.averages(state)
        spikes = jnp.asarray(self.spikes)
        along = self.encoder(state) * state["V"] * spikes[None, :]
        explained = jnp.sum(along * averages.slopes[:, None])
        return jnp.sum(spikes) + self.bulk_variance - 2 * explained + jnp.sum(T0 * averages.I2)


def _inverse_root(C: Array) -> Array:
    """1 / sqrt(C_kk), and zero where C_kk is."""
    variance = jnp.diag(C)
    positive = variance > 0
    return jnp.where(positive, 1 / jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)


def _variances(given) -> np.ndarray:
    """The spikes as an array of positive numbers."""
    spikes = checks.finite_array("model.spikes", given)
    if spikes.ndim != 1 or len(spikes) == 0:
        raise ValueError(
            f"model.spikes has shape {spikes.shape}; give a list of variances, such as [1.0, 0.5]."
        )
    if (spikes <= 0).any():
        raise ValueError(
            f"model.spikes has the entry {spikes[spikes <= 0][0]:g}; give variances larger than 0."
        )
    return spikes


def _without_jumps(activation: Activation) -> Activation:
    """The activation, which must have a gradient."""
    jumps = activation.singularities.jumps()
    if jumps:
        raise ValueError(
            f"model.activation = {activation.name} jumps at x = {jumps[0][0]:.4g}: descent has no "
            "gradient there; give a continuous one, such as 'erf'."
        )
    return activation


def _check_covariance(name: str, C: np.ndarray) -> None:
    """Raise ValueError unless a matrix is symmetric and positive semi-definite."""
    scale = max(1.0, float(np.abs(C).max()))
    if np.abs(C - C.T).max() > 1e-9 * scale:
        raise ValueError(f"{name} is not symmetric; give overlaps of weights with each other.")
    smallest = float(np.linalg.eigvalsh(C).min())
    if smallest < SMALLEST * scale:
        raise ValueError(
            f"{name} has the eigenvalue {smallest:.3g}; overlaps of weights with each other have "
            "none below 0."
        )
