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
LABELLING = (
    "activation",
    "directions",
    "error",
    "input_mean",
    "label",
    "noise",
    "other_labels",
    "readout",
    "readouts",
    "sample_error",
    "v_star",
    "width",
)
TEACHER = (  # what makes a label of the latents
    "activation",
    "label",
    "noise",
    "other_labels",
    "readout",
    "readouts",
    "v_star",
)


def changed_law(task: Task) -> str | None:
    """How the class of a task changes the law of inputs and labels that theory and closed forms
    know; None if it does not.

    With two classes the law is that of the task's own `components`, so that only other labels
    change it.
    """
    return _sentence(task, [*_changed_labels(type(task)), *_changed_inputs(type(task))])


def changed_inputs(task: Task) -> str | None:
    """How the class of a task changes the law of its inputs; None if it does not."""
    return _sentence(task, _changed_inputs(type(task)))


def changed_labels(task: Task) -> bool:
    """Whether the class of a task labels samples in its own way."""
    return bool(_changed_labels(type(task)))


def labels_by_method(task: Task) -> bool:
    """Whether samples are labelled by the task's method `label`, not by the sum of a teacher's
    units or by their classes.
    """
    signs_of_teacher = task.BINARY_LABELS and not task.HAS_CLASSES
    return signs_of_teacher or changed_labels(task)


def _sentence(task: Task, names: list[str]) -> str | None:
    kind = type(task)
    base = nearest(kind, (*OURS, *FAMILIES))
    if base is None:
        return f"class {kind.__name__} is a task of its own"
    if base is TeacherTask:
        return f"class {kind.__name__} has a law of inputs of its own"
    if not names:
        return None
    return sentence(kind, base, list(dict.fromkeys(names)))


def _changed_labels(kind: type) -> list[str]:
    """What a class changes of how ours make a label of the fields."""
    base = nearest(kind, (*OURS, *FAMILIES))
    if base is None:
        return []
    if issubclass(kind, MixtureTask):
        return [name for name in changes(kind, base) if name in ("label", *ADDED)]
    return [name for name in changes(kind, base) if name in TEACHER]


def _changed_inputs(kind: type) -> list[str]:
    """What a class changes of how the inputs of ours are drawn.

    With two classes inputs follow from the task's own `components`; a law of the spikes that it
    registers without them is unknown.
    """
    base = nearest(kind, (*OURS, *FAMILIES))
    if base is None:
        return []
    registered = registered_parts(kind, base)
    names = sorted(registered & {"set_up"})
    if issubclass(kind, MixtureTask):
        if "spike_law" in registered and "components" not in changes(kind, base):
            names.append("spike_law")
        return names
    return [name for name in changes(kind, base) if name not in TEACHER] + names


def own_bases(task: Task) -> tuple[type, ...]:
    """The classes of a task down to the first of ours."""
    kind = type(task)
    base = nearest(kind, (*OURS, *FAMILIES, Task))
    return kind.__mro__[: kind.__mro__.index(base)]


def brings_error(task: Task) -> bool:
    """Whether the class of a task has an `error` of its own.

    One that it inherits from another class of one's own is that of the labels and inputs there: a
    class that changes these needs another.
    """
    owner = next((base for base in own_bases(task) if "error" in vars(base)), None)
    return owner is not None and not changes(type(task), owner)


def changed_activation(activation: Activation) -> str | None:
    """What the class of an activation changes; None for an ordinary one."""
    kind = type(activation)
    return None if kind is Activation else sentence(kind, Activation, changes(kind, Activation))


def unknown_error(task: Task, activation: Activation) -> str | None:
    """Why the error at given overlaps is not known; None if it is."""
    changed = changed_law(task)
    if changed is not None and not brings_error(task):
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
