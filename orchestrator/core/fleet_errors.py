"""What goes wrong with who belongs to a fleet."""

from __future__ import annotations

from orchestrator.core.deploy_errors import DeployError


class FleetError(DeployError):
    """This machine cannot become, be, or stop being a node of a fleet as it was asked."""

    code = "ORC460"


class TokenRefused(FleetError):
    """The token of a join is not whole, was used, is too old, or is of another fleet."""

    code = "ORC461"


class NotSigned(FleetError):
    """What must be signed by the operator of the fleet is not, or was changed since."""

    code = "ORC462"
