"""How finely averages by quadrature are computed."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Resolution:
    """The nodes and terms of averages over Gaussian fields without closed forms.

    - `spacing`, `radius`: of equidistant nodes for the fields that are integrated over directly,
      in standard deviations.
    - `hidden_spacing`, `hidden_radius`: the same for the fields that are averaged over given those.
    - `terms`: of Mehler's series for the correlation that is left between two of the latter.
    - `piece_nodes`: Gauss-Legendre nodes on each piece between two kinks.
    - `log2_points`: the base-2 logarithm of the number of frozen points, where fields are too many
      for nodes.
    """

    spacing: float = 0.4
    radius: float = 6.5
    hidden_spacing: float = 0.35
    hidden_radius: float = 9.0
    terms: int = 40
    piece_nodes: int = 20
    log2_points: int = 14

    def coarser(self, replica: int) -> "Resolution":
        """One with fewer nodes and terms, to estimate errors from the difference; replica 1 or 2
        for how few.

        Nodes do not sit where those of the finer one do.
        """
        factor = 1 + 0.09 * replica
        return replace(
            self,
            spacing=self.spacing * factor,
            radius=self.radius - 0.2,
            hidden_spacing=self.hidden_spacing * factor,
            hidden_radius=self.hidden_radius - 0.2,
            terms=max(3, math.floor(self.terms * (1 - 0.1 * replica))),
            piece_nodes=max(4, self.piece_nodes - replica - self.piece_nodes // 12),
        )

    @property
    def description(self) -> str:
        """One line for the results."""
        return (
            f"nodes at distances of {self.spacing:.3g}, {self.terms} terms for the correlation of "
            "two other fields"
        )
