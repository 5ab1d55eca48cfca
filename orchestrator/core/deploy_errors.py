"""What goes wrong with plans, deployments and what waits."""

from __future__ import annotations

from orchestrator.core.root_error import OrchestratorError


class PlanError(OrchestratorError):
    """The plan cannot be made or was not agreed to."""

    code = "ORC401"
    exit_code = 3


class PlanOutdated(PlanError):
    """What is there is no longer what the plan was made from: nothing was done."""


class DeployError(OrchestratorError):
    """A step of the plan, or the runtime, failed."""

    code = "ORC410"
    exit_code = 4


class RuntimeUnavailable(DeployError):
    """The background runtime does not answer or could not start."""

    code = "ORC411"


class AnotherRuns(DeployError):
    """Another runtime of this user has the lock: there is one a user."""


class StateUnusable(DeployError):
    """The state folder cannot be used."""

    code = "ORC412"


class NoSuchDeployment(DeployError):
    """No applied deployment has this name."""

    code = "ORC413"


class RuntimeVersionClash(DeployError):
    """The running runtime belongs to another version of the program, or to another Python."""

    code = "ORC414"


class PortTaken(DeployError):
    """Another process listens on the port that was asked for."""

    code = "ORC415"


class NameClash(DeployError):
    """Two different manifests claim one deployment name."""

    code = "ORC416"


class NoServer(DeployError):
    """No model server answers that can do what is asked with this model."""

    code = "ORC417"


class NotInstalled(DeployError):
    """The program that would serve the model is not installed."""

    code = "ORC418"


class NothingToLabel(DeployError):
    """The run, or the agent's part in it, has no score that a label could be put to."""

    code = "ORC432"


class NoSuchApproval(DeployError):
    """Nothing of this id waits or waited for a person."""

    code = "ORC440"


class NoSuchDelivery(DeployError):
    """Nothing of this id waits or waited for a target."""

    code = "ORC442"


class DeliveryClosed(DeployError):
    """It does not wait any more: it was delivered, has expired, or somebody took it back."""

    code = "ORC443"


class ApprovalClosed(DeployError):
    """It cannot be decided (any more): somebody was faster, its time is over, or it is not what was seen."""

    code = "ORC441"


class TakenBack(DeployError):
    """A manifest was taken back, as a node could not serve it or did worse with it: all nodes serve what they served before."""

    code = "ORC463"
