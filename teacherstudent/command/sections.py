"""The sections in which the published set-ups are listed and shown."""

# Sections with the beginnings of the names that belong there, in the order of the page.
SECTIONS = (
    ("Soft committees", ("saad-solla", "phase-diagram")),
    ("More student units than the teacher has", ("goldt-2019", "linear-noisy", "relu")),
    ("Structured inputs", ("hidden-manifold",)),
    ("Principal components and skills", ("autoencoder", "sparse-parity")),
    ("Perceptrons", ("perceptron", "reinforcement")),
    ("Two classes", ("xor", "spiked", "clones")),
    ("Escape from a random start, and the staircase", ("escape", "staircase")),
    ("Update rules", ("sign", "majority", "agd", "feedback", "update-rules")),
    ("Fixed points, fluctuations, best schedules", ("plateau", "bifurcation", "band", "best")),
    ("What changes while it is learnt", ("learning-rate", "lee", "label-attack", "continual")),
)
OTHERS = "More"


def section_of(name: str) -> str:
    """The section of a set-up."""
    for title, beginnings in SECTIONS:
        if name.startswith(beginnings):
            return title
    return OTHERS
