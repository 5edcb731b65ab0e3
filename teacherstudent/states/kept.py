"""What a run keeps beside the order parameters, so that another one goes on exactly where it ended.

A theory keeps the overlaps of every mode and what its rule remembers, a simulation its networks, or
the chains of their overlaps.  `ts.last_state` hangs this to the state that it answers; the verbs
take it from there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class KeptTheory:
    """The end of a theory, in the modes in which it was solved.

    - `rule`: the class of its rule, by name; one of another class begins with nothing remembered.
    - `start`: the start of the whole run, which has the spectrum.
    - `q`, `r`: the overlaps, with the modes last.
    - `memory`: all numbers that the rule remembers, one after the other.
    """

    rule: str
    start: Any
    q: Float[np.ndarray, "*batch students students modes"]
    r: Float[np.ndarray, "*batch students teachers modes"]
    memory: Float[np.ndarray, "*batch entries"]


@dataclass(frozen=True, eq=False)
class KeptNetworks:
    """The end of a simulation.

    - `rule`: the class of its rule, by name; one of another class begins with nothing remembered.
    - `start`: the start of the whole run, from which its inputs were set up.
    - `method`, `N`, `dtype`, `seeds`: as the run had them; `step` is the number of its updates.
    - `w`, `w_star`, `v`, `b`, `memory`: the networks, and what the rule remembers of them, where
      whole weights were trained.
    - `chain`: all numbers of the chain of the overlaps, where that was run; `chain_rows` is how
      many rows it has in its frame.
    """

    rule: str
    start: Any
    method: str
    N: int
    dtype: str
    seeds: list[int]
    step: int
    w: Float[np.ndarray, "seeds students inputs"] | None = None
    v: Float[np.ndarray, "seeds students"] | None = None
    b: Float[np.ndarray, "seeds students"] | None = None
    w_star: Float[np.ndarray, "seeds teachers latents"] | None = None
    memory: Float[np.ndarray, "seeds entries"] | None = None
    chain: Float[np.ndarray, "seeds entries"] | None = None
    chain_rows: int = 0
