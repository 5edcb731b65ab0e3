"""Statistical physics of learning: order-parameter equations of online SGD beside finite networks.

>>> import teacherstudent as ts
>>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(learning_rate=0.3))
>>> start = ts.random_start(problem, N=1000, seed=0)
>>> theory = ts.integrate(problem, start, times=[0, 1, 10])
>>> networks = ts.simulate(problem, start, times=[0, 1, 10], N=1000, seeds=4)
>>> report = ts.compare(theory, networks)
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Where each public name is defined.  Names load on first use: `import teacherstudent` is quick, and
# theory and simulation can be used one without the other.  Type checkers read the imports at the
# end of this file instead; a test holds the two lists together.
PUBLIC = {
    "odes.analysis.branch": ("follow_fixed_point",),
    "odes.analysis.clones": ("with_clones",),
    "odes.analysis.escape": ("escape_scale", "information_exponent"),
    "odes.analysis.fixed_point": ("fixed_point",),
    "odes.analysis.flat_field": ("vector_field",),
    "odes.analysis.fluctuations": ("fluctuations",),
    "odes.analysis.optimal_schedule": ("optimal_schedule",),
    "odes.analysis.scaling_laws": (
        "compute_frontier",
        "excess_loss",
        "fit_time_scale",
        "scaling_laws",
        "skill_curves",
    ),
    "odes.analysis.switching": ("time_learnt",),
    "odes.inputs.one_update": ("InputTheory",),
    "odes.inputs.spectral": ("AveragesWithTeacher",),
    "odes.integrate": ("integrate",),
    "odes.models.reinforcement": ("best_policy_schedule", "policy_fixed_points"),
    "odes.models.theory": ("ModelTheory",),
    "odes.rules.theory": ("RuleTheory",),
    "odes.solving.solve": ("solve",),
    "sims.escape": ("escape",),
    "sims.ica": ("fast_ica",),
    "sims.models.rows": ("RowsSimulation", "Update"),
    "sims.models.simulation": ("ModelSimulation",),
    "sims.parity_network": ("train_parity_network",),
    "sims.simulate": ("simulate",),
    "teacherstudent.activations.activation": ("Activation",),
    "teacherstudent.attacks": ("attack_steady_state", "critical_attack_cost", "optimal_attack"),
    "teacherstudent.averages": ("Averages", "ShiftedAverages", "averages_for"),
    "teacherstudent.averages.field_averages": ("FieldAverages",),
    "teacherstudent.averages.sign_labels": ("SignAverages", "SignFields"),
    "teacherstudent.averages.mixture_fields": ("Components",),
    "teacherstudent.averages.resolution": ("Quadrature",),
    "teacherstudent.command.experiment": ("Experiment",),
    "teacherstudent.contrasts": ("ica_problem",),
    "teacherstudent.errors": (
        "DivergenceError",
        "FixedPointError",
        "SolverError",
        "ThresholdError",
    ),
    "teacherstudent.losses": ("Loss",),
    "teacherstudent.models.autoencoder": ("Autoencoder",),
    "teacherstudent.models.continual_learning": ("ContinualLearning",),
    "teacherstudent.models.manifold_inputs": ("ManifoldInputs",),
    "teacherstudent.models.model": ("Model", "Quantity"),
    "teacherstudent.models.reinforcement": ("ReinforcementPerceptron",),
    "teacherstudent.models.rewards": (
        "AllCorrect",
        "AtLeast",
        "Graded",
        "ReturnToGo",
        "Reward",
        "SubtaskBonus",
    ),
    "teacherstudent.models.sparse_parity": ("SparseParity",),
    "teacherstudent.models.state": ("State",),
    "teacherstudent.models.task_similarity": (
        "continual_start",
        "readouts_at_angle",
        "teachers_of_similarity",
    ),
    "teacherstudent.observables.alignment": ("alignment",),
    "teacherstudent.observables.class_accuracy": ("accuracy",),
    "teacherstudent.observables.feedback": ("feedback_alignment", "gradient_alignment"),
    "teacherstudent.observables.generalisation": ("expected_loss", "generalisation_error"),
    "teacherstudent.observables.likelihood_ratio": ("likelihood_ratio_norm",),
    "teacherstudent.observables.observable": ("Observable",),
    "teacherstudent.observables.oracle": ("oracle_error", "oracle_loss"),
    "teacherstudent.observables.other_task": ("error_on",),
    "teacherstudent.observables.weights": ("sparsity", "weight_histogram"),
    "teacherstudent.problem": ("Problem", "Student"),
    "teacherstudent.protocol": ("Protocol", "Until", "until"),
    "teacherstudent.results.bands": ("band_covariance", "valid_until"),
    "teacherstudent.results.comparison": ("compare",),
    "teacherstudent.results.continuing": ("last_state", "state_at"),
    "teacherstudent.results.files": ("load", "save"),
    "teacherstudent.figures.plotting": ("plot",),
    "teacherstudent.results.forgetting": ("forgetting", "node_reuse", "transfer"),
    "teacherstudent.results.selection": ("problem_of", "start_of"),
    "teacherstudent.results.sweep_points": ("point_of",),
    "teacherstudent.results.validation": ("validate",),
    "teacherstudent.rules.base": ("DescentRule", "Rule"),
    "teacherstudent.rules": (
        "AGD",
        "FeedbackAlignment",
        "Fromage",
        "GradientFlow",
        "HeavyBall",
        "Madam",
        "MajorityVote",
        "Nero",
        "SGD",
        "SignSGD",
        "Signum",
        "SphericalSGD",
    ),
    "teacherstudent.schedules": (
        "Schedule",
        "constant",
        "cosine",
        "exponential",
        "interpolated",
        "linear",
        "piecewise",
        "power",
        "warm_up",
    ),
    "teacherstudent.starts": (
        "orthogonal_start",
        "random_start",
        "spectral_start",
        "start_from_weights",
    ),
    "teacherstudent.states.order_parameters": ("OrderParameters",),
    "teacherstudent.states.spectral_overlaps": ("SpectralOverlaps",),
    "teacherstudent.states.spectrum": ("marchenko_pastur", "power_law"),
    "teacherstudent.sweeps.sweep": ("sweep",),
    "teacherstudent.tasks": (
        "BoxMixture",
        "ClassifyingTeacher",
        "GaussianEquivalent",
        "GaussianMixture",
        "HiddenManifold",
        "LabelAttack",
        "MixedCumulant",
        "ShiftedTeacherStudent",
        "SpikedCumulant",
        "TeacherStudent",
    ),
    "teacherstudent.tasks.base": ("Labels", "Task", "TeacherTask"),
    "teacherstudent.clones": ("clone",),
    "teacherstudent.tasks.mixture": ("MixtureTask",),
    "teacherstudent.times": ("linear_times", "log_times"),
    "teacherstudent.training_set": ("Dataset",),
}
MODULE_OF = {name: module for module, names in PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(MODULE_OF)]

if not TYPE_CHECKING:  # type checkers would take any name to be here

    def __getattr__(name: str):
        from teacherstudent.checking.names import defined_in, unknown_name

        if name not in MODULE_OF:
            raise AttributeError(unknown_name(name, __all__))
        value = getattr(defined_in(MODULE_OF[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return __all__


if TYPE_CHECKING:
    from odes.analysis.branch import follow_fixed_point as follow_fixed_point
    from odes.analysis.clones import with_clones as with_clones
    from odes.analysis.escape import (
        escape_scale as escape_scale,
        information_exponent as information_exponent,
    )
    from odes.analysis.fixed_point import fixed_point as fixed_point
    from odes.analysis.flat_field import vector_field as vector_field
    from odes.analysis.fluctuations import fluctuations as fluctuations
    from odes.analysis.optimal_schedule import optimal_schedule as optimal_schedule
    from odes.analysis.scaling_laws import (
        compute_frontier as compute_frontier,
        excess_loss as excess_loss,
        fit_time_scale as fit_time_scale,
        scaling_laws as scaling_laws,
        skill_curves as skill_curves,
    )
    from odes.analysis.switching import time_learnt as time_learnt
    from odes.inputs.one_update import InputTheory as InputTheory
    from odes.inputs.spectral import AveragesWithTeacher as AveragesWithTeacher
    from odes.integrate import integrate as integrate
    from odes.models.reinforcement import (
        best_policy_schedule as best_policy_schedule,
        policy_fixed_points as policy_fixed_points,
    )
    from odes.models.theory import ModelTheory as ModelTheory
    from odes.rules.theory import RuleTheory as RuleTheory
    from odes.solving.solve import solve as solve
    from sims.escape import escape as escape
    from sims.ica import fast_ica as fast_ica
    from sims.models.rows import (
        RowsSimulation as RowsSimulation,
        Update as Update,
    )
    from sims.models.simulation import ModelSimulation as ModelSimulation
    from sims.parity_network import train_parity_network as train_parity_network
    from sims.simulate import simulate as simulate
    from teacherstudent.activations.activation import Activation as Activation
    from teacherstudent.attacks import (
        attack_steady_state as attack_steady_state,
        critical_attack_cost as critical_attack_cost,
        optimal_attack as optimal_attack,
    )
    from teacherstudent.averages import (
        Averages as Averages,
        ShiftedAverages as ShiftedAverages,
        averages_for as averages_for,
    )
    from teacherstudent.averages.field_averages import FieldAverages as FieldAverages
    from teacherstudent.averages.mixture_fields import Components as Components
    from teacherstudent.averages.resolution import Quadrature as Quadrature
    from teacherstudent.averages.sign_labels import (
        SignAverages as SignAverages,
        SignFields as SignFields,
    )
    from teacherstudent.clones import clone as clone
    from teacherstudent.command.experiment import Experiment as Experiment
    from teacherstudent.contrasts import ica_problem as ica_problem
    from teacherstudent.errors import (
        DivergenceError as DivergenceError,
        FixedPointError as FixedPointError,
        SolverError as SolverError,
        ThresholdError as ThresholdError,
    )
    from teacherstudent.figures.plotting import plot as plot
    from teacherstudent.losses import Loss as Loss
    from teacherstudent.models.autoencoder import Autoencoder as Autoencoder
    from teacherstudent.models.continual_learning import ContinualLearning as ContinualLearning
    from teacherstudent.models.manifold_inputs import ManifoldInputs as ManifoldInputs
    from teacherstudent.models.model import (
        Model as Model,
        Quantity as Quantity,
    )
    from teacherstudent.models.reinforcement import (
        ReinforcementPerceptron as ReinforcementPerceptron,
    )
    from teacherstudent.models.rewards import (
        AllCorrect as AllCorrect,
        AtLeast as AtLeast,
        Graded as Graded,
        ReturnToGo as ReturnToGo,
        Reward as Reward,
        SubtaskBonus as SubtaskBonus,
    )
    from teacherstudent.models.sparse_parity import SparseParity as SparseParity
    from teacherstudent.models.state import State as State
    from teacherstudent.models.task_similarity import (
        continual_start as continual_start,
        readouts_at_angle as readouts_at_angle,
        teachers_of_similarity as teachers_of_similarity,
    )
    from teacherstudent.observables.alignment import alignment as alignment
    from teacherstudent.observables.class_accuracy import accuracy as accuracy
    from teacherstudent.observables.feedback import (
        feedback_alignment as feedback_alignment,
        gradient_alignment as gradient_alignment,
    )
    from teacherstudent.observables.generalisation import (
        expected_loss as expected_loss,
        generalisation_error as generalisation_error,
    )
    from teacherstudent.observables.likelihood_ratio import (
        likelihood_ratio_norm as likelihood_ratio_norm,
    )
    from teacherstudent.observables.observable import Observable as Observable
    from teacherstudent.observables.oracle import (
        oracle_error as oracle_error,
        oracle_loss as oracle_loss,
    )
    from teacherstudent.observables.other_task import error_on as error_on
    from teacherstudent.observables.weights import (
        sparsity as sparsity,
        weight_histogram as weight_histogram,
    )
    from teacherstudent.problem import (
        Problem as Problem,
        Student as Student,
    )
    from teacherstudent.protocol import (
        Protocol as Protocol,
        Until as Until,
        until as until,
    )
    from teacherstudent.results.bands import (
        band_covariance as band_covariance,
        valid_until as valid_until,
    )
    from teacherstudent.results.comparison import compare as compare
    from teacherstudent.results.continuing import (
        last_state as last_state,
        state_at as state_at,
    )
    from teacherstudent.results.files import (
        load as load,
        save as save,
    )
    from teacherstudent.results.forgetting import (
        forgetting as forgetting,
        node_reuse as node_reuse,
        transfer as transfer,
    )
    from teacherstudent.results.selection import (
        problem_of as problem_of,
        start_of as start_of,
    )
    from teacherstudent.results.sweep_points import point_of as point_of
    from teacherstudent.results.validation import validate as validate
    from teacherstudent.rules import (
        AGD as AGD,
        SGD as SGD,
        FeedbackAlignment as FeedbackAlignment,
        Fromage as Fromage,
        GradientFlow as GradientFlow,
        HeavyBall as HeavyBall,
        Madam as Madam,
        MajorityVote as MajorityVote,
        Nero as Nero,
        SignSGD as SignSGD,
        Signum as Signum,
        SphericalSGD as SphericalSGD,
    )
    from teacherstudent.rules.base import DescentRule as DescentRule, Rule as Rule
    from teacherstudent.schedules import (
        Schedule as Schedule,
        constant as constant,
        cosine as cosine,
        exponential as exponential,
        interpolated as interpolated,
        linear as linear,
        piecewise as piecewise,
        power as power,
        warm_up as warm_up,
    )
    from teacherstudent.starts import (
        orthogonal_start as orthogonal_start,
        random_start as random_start,
        spectral_start as spectral_start,
        start_from_weights as start_from_weights,
    )
    from teacherstudent.states.order_parameters import OrderParameters as OrderParameters
    from teacherstudent.states.spectral_overlaps import SpectralOverlaps as SpectralOverlaps
    from teacherstudent.states.spectrum import (
        marchenko_pastur as marchenko_pastur,
        power_law as power_law,
    )
    from teacherstudent.sweeps.sweep import sweep as sweep
    from teacherstudent.tasks import (
        BoxMixture as BoxMixture,
        ClassifyingTeacher as ClassifyingTeacher,
        GaussianEquivalent as GaussianEquivalent,
        GaussianMixture as GaussianMixture,
        HiddenManifold as HiddenManifold,
        LabelAttack as LabelAttack,
        MixedCumulant as MixedCumulant,
        ShiftedTeacherStudent as ShiftedTeacherStudent,
        SpikedCumulant as SpikedCumulant,
        TeacherStudent as TeacherStudent,
    )
    from teacherstudent.tasks.base import Labels as Labels, Task as Task, TeacherTask as TeacherTask
    from teacherstudent.tasks.mixture import MixtureTask as MixtureTask
    from teacherstudent.times import (
        linear_times as linear_times,
        log_times as log_times,
    )
    from teacherstudent.training_set import Dataset as Dataset
