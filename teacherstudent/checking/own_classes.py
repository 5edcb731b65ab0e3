"""Where a problem has a class of one's own that changes ours, and what is therefore not known of
it.

Theory, closed forms and the chain of the overlaps are derived for the labels and inputs of our
tasks.  A task that changes them is simulated with its own; what else is asked of it is refused,
with what it changes, until it brings its own part.
"""

from teacherstudent.activations.activation import Activation
from teacherstudent.checking.contracts import ADDED, changes, nearest, registered_parts, sentence
from teacherstudent.tasks import TASKS, MixtureTask, StructuredTask, Task, TeacherTask

OURS = tuple(TASKS.values())  # not those that are added to them
FAMILIES = (MixtureTask, StructuredTask, TeacherTask)
LAW = ("set_up", "label")  # registered parts that are another law of inputs or labels
LABELLING = (
    "activation",
    "directions",
    "gradient",
    "input_mean",
    "label",
    "noise",
    "readout",
    "v_star",
    "width",
)
TEACHER = ("activation", "label", "noise", "readout", "v_star")  # what makes a label of the latents


def changed_law(task: Task) -> str | None:
    """How the class of a task changes the law of inputs and labels that theory and closed forms
    know; None if it does not.

    With two classes the law is that of the task's own `components`, so that only other labels
    change it.
    """
    kind = type(task)
    base = nearest(kind, OURS)
    if base is None:
        return _changed_family(kind)
    registered = registered_parts(kind, base)
    if issubclass(kind, MixtureTask):
        changed = [name for name in changes(kind, base) if name in ADDED]
        unknown_inputs = "spike_law" in registered and "components" not in changes(kind, base)
        names = [*changed, *sorted(registered & {*LAW}), *(["spike_law"] if unknown_inputs else [])]
    else:
        names = [*changes(kind, base), *sorted(registered & {*LAW})]
    names = list(dict.fromkeys(names))
    return sentence(kind, base, names) if names else None


def _changed_family(kind: type) -> str | None:
    """The same for a class that is a new task, not a variant of ours."""
    base = nearest(kind, FAMILIES)
    if base is None:
        return f"class {kind.__name__} is a task of its own"
    if base is TeacherTask:
        return f"class {kind.__name__} has a law of inputs of its own"
    changed = [name for name in changes(kind, base) if name in (*ADDED, *TEACHER)]
    names = [*changed, *sorted(registered_parts(kind, base) & {"label"})]
    return sentence(kind, base, list(dict.fromkeys(names))) if names else None


def changed_activation(activation: Activation) -> str | None:
    """What the class of an activation changes; None for an ordinary one."""
    kind = type(activation)
    return None if kind is Activation else sentence(kind, Activation, changes(kind, Activation))


def unknown_error(task: Task, activation: Activation) -> str | None:
    """Why the error at given overlaps is not known; None if it is."""
    changed = changed_law(task)
    if changed is not None and not brings(task, "task_error"):
        return f"{changed}, so that its error at given overlaps is not known"
    return (
        None
        if (changed := changed_activation(activation)) is None
        else f"{changed}, and no averages know it"
    )


def require_our_law(task: Task) -> None:
    """Raise ValueError if the class of a task changes the law of inputs and labels that is asked
    about.
    """
    changed = changed_law(task)
    if changed is not None:
        raise ValueError(
            f"{changed}, and what is asked holds for the labels and inputs of the latter; give a "
            "task of ours."
        )


def brings(task: Task, part: str) -> bool:
    """Whether the class of a task has registered a part of its own."""
    kind = type(task)
    base = nearest(kind, (*OURS, *FAMILIES, Task))
    return base is not None and part in registered_parts(kind, base)
