"""Online stochastic gradient descent with the scalings of the high-dimensional limit."""

from teacherstudent import checks
from teacherstudent.rules.base import Network, Rule


class SGD(Rule):
    """Stochastic gradient descent, one fresh mini-batch per step, with optional weight decay.

        w_k <- w_k - (eta / sqrt N) < v_k g'(lambda_k) l'(phi) x > - (kappa / N) w_k
        v_k <- v_k - (eta_v / N)    < g(lambda_k) l'(phi) >        - (kappa / N) v_k
        b_k <- b_k - (eta_b / N)    < v_k g'(lambda_k) l'(phi) >

    with < > the mean over the mini-batch and l' = d l / d phi (phi - y for the square loss), all from the weights before the
    step; the readout v and the biases b move only if the student trains them.

    - `learning_rate`: eta.
    - `readout_learning_rate`: eta_v; the same as `learning_rate` unless given.
    - `weight_decay`: kappa, for every trained layer, not for biases.
    - `bias_learning_rate`: eta_b; the same as `learning_rate` unless given.

    Goldt et al., NeurIPS 2019.  Saad & Solla (1995) write J = w / sqrt N and a step eta / N: same eta.
    """

    learning_rate: checks.Parameter
    readout_learning_rate: checks.Parameter | None = None
    weight_decay: checks.Parameter = 0.0
    bias_learning_rate: checks.Parameter | None = None

    def __init__(self, learning_rate, readout_learning_rate=None, weight_decay=0.0, bias_learning_rate=None):
        self.learning_rate = checks.parameter(learning_rate)
        self.readout_learning_rate = checks.parameter(readout_learning_rate)
        self.weight_decay = checks.parameter(weight_decay)
        self.bias_learning_rate = checks.parameter(bias_learning_rate)

    def __check_init__(self):
        checks.number("rule.learning_rate", self.learning_rate)
        checks.number("rule.weight_decay", self.weight_decay)
        for name in ("readout_learning_rate", "bias_learning_rate"):
            if getattr(self, name) is not None:
                checks.number(f"rule.{name}", getattr(self, name))

    @property
    def eta_v(self):
        """The readout's learning rate: `readout_learning_rate`, or `learning_rate` where none is given."""
        return self.learning_rate if self.readout_learning_rate is None else self.readout_learning_rate

    @property
    def eta_b(self):
        """The biases' learning rate: `bias_learning_rate`, or `learning_rate` where none is given."""
        return self.learning_rate if self.bias_learning_rate is None else self.bias_learning_rate

    def update(self, student: Network, gradient: Network) -> Network:
        N = student.w.shape[-1]
        shrink = 1 - self.weight_decay / N
        return Network(
            w=shrink * student.w - self.learning_rate * gradient.w,
            v=shrink * student.v - (self.eta_v / N) * gradient.v,
            b=student.b - (self.eta_b / N) * gradient.b,
        )
