"""How finely averages by quadrature are computed."""

import math
from dataclasses import dataclass, replace

COARSER = 1.13  # how much farther apart the nodes are by which the error is estimated


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

    spacing: float = 0.25
    radius: float = 6.6
    hidden_spacing: float = 0.3
    hidden_radius: float = 9.1
    terms: int = 32
    piece_nodes: int = 16
    log2_points: int = 14

    def of_lines(self) -> "Resolution":
        """That of averages over two fields: finer, since they cost little."""
        return replace(
            self,
            spacing=self.spacing / 2,
            radius=self.radius + 0.5,
            hidden_spacing=self.hidden_spacing / 2,
            hidden_radius=self.hidden_radius + 0.5,
            piece_nodes=2 * self.piece_nodes,
        )

    def coarser(self) -> "Resolution":
        """One with fewer nodes and terms, to estimate errors from the difference.

        Its nodes do not sit where those of this one do, but for zero.
        """
        return replace(
            self,
            spacing=self.spacing * COARSER,
            radius=self.radius - 0.2,
            hidden_spacing=self.hidden_spacing * COARSER,
            hidden_radius=self.hidden_radius - 0.2,
            terms=max(3, math.floor(self.terms / COARSER)),
            piece_nodes=max(4, math.floor(self.piece_nodes / COARSER)),
        )

    @property
    def description(self) -> str:
        """One line for the results."""
        return (
            f"nodes at distances of {self.spacing:.3g}, {self.terms} terms for the correlation of "
            "two other fields"
        )
