"""Servers that we start, as models that are loaded and unloaded: to load is to start the process, to unload is to end it.

So the scheduler decides when each rests, by the rules of all models that share a memory, and a request waits for one that
rests as it waits for any model that is not in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

import anyio

from orchestrator.core.errors import ServerFailed
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.servers import Servers
from orchestrator.deploy.ward import Ward
from orchestrator.plan.generations import server_of
from orchestrator.ports.lifecycle import Loaded, LoadOptions
from orchestrator.ports.provider import Target

_BEYOND: Final = 30.0
"""Seconds that a load may take beside what the server has to show a token: its process may be on its way out just now."""


@dataclass(frozen=True, slots=True)
class ProcessLoader:
    """Fits the port ``Loader`` for one process of a server. Whoever waits for it waits for one try: where that fails the server
    is started again in a while, as ever, and who needs it asks once more."""

    servers: Servers
    process: str

    @property
    def patience(self) -> float:
        """Seconds that a load may take at most."""
        ward = self.servers.supervisor.wards.get(self.process)
        return _BEYOND + (ward.start_timeout if ward is not None else 0.0)

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """Have it started where it rests, and wait for its first token. How long it rests and what context it has say its
        manifest and its command; a pause before it is started again is no part of what a load takes. Raises ``ServerFailed`` with
        the reason."""
        del options, timeout
        wards, began, tried = self.servers.supervisor.wards, anyio.current_time(), False
        self.servers.need(self.process)
        waited = False
        while (ward := wards.get(self.process)) is not None and ward.wanted:
            if ward.state == "ready":
                seconds = anyio.current_time() - began if waited else 0.0
                return Loaded(seconds, api_base=_moved(target.api_base, self.servers.observed()[self.process].url))
            if ward.state == "failed" or (ward.state == "waiting" and tried):
                raise ServerFailed(
                    f"its server does not start: {ward.why}", cure="see the log of the server: `orchestrator status`"
                )
            tried = tried or ward.state == "starting"
            waited, pauses = True, ward.state == "waiting"
            await self.servers.change()
            began = anyio.current_time() if pauses else began
        raise ServerFailed("its server is not wanted any more")

    async def unload(self, target: Target, timeout: float) -> None:
        """Have it ended, and wait for it; one that is just being started, or started again with other options, shows its token
        first. One that has no model yet has none to unload."""
        del target, timeout
        wards, after = self.servers.supervisor.wards, -1
        self.servers.rest(self.process)
        while (ward := wards.get(self.process)) is not None and _holds(ward) and ward.life != after:
            after = ward.life + 1 if ward.rests else after  # whoever needs it meanwhile has it started again
            await self.servers.change()
            if after < 0:
                self.servers.rest(self.process)


def _holds(ward: Ward) -> bool:
    """Whether it has memory for its model, or is about to."""
    return (ward.lives or ward.spawning) and ward.state != "empty"


def _moved(api_base: str, url: str) -> str:
    """The address of the same interface, where the server listens now."""
    return urlsplit(api_base)._replace(netloc=urlsplit(url).netloc).geturl()


def agreed(
    endpoints: Mapping[str, EndpointSpec], deployments: Iterable[Collection[EndpointSpec]]
) -> dict[str, EndpointSpec]:
    """The same, where a server rests only if every deployment that calls it has it rest: who uses it past the others may
    belong to a manifest that says nothing of it, and nobody would start it for that one."""
    stays = {spec.target.api_base for each in deployments for spec in each if not spec.can_rest}
    return {
        name: replace(spec, residence=None) if spec.can_rest and spec.target.api_base in stays else spec
        for name, spec in endpoints.items()
    }


def in_turns(endpoints: Mapping[str, EndpointSpec], turning: Collection[str]) -> dict[str, EndpointSpec]:
    """The same, where servers of these names rest for others that need the memory, whatever their manifests say of rest, and
    whoever calls them: without that the others could not be served at all."""
    return {
        name: replace(spec, residence=replace(spec.process, whoever=True))
        if spec.process is not None and not spec.can_rest and server_of(spec.process.model) in turning
        else spec
        for name, spec in endpoints.items()
    }


def processes_called(deployments: Iterable[Deployment]) -> set[str]:
    """Processes of ours that their own deployment calls, whether they may rest or not."""
    return {spec.process.model for each in deployments for spec in each.endpoints.values() if spec.process is not None}


def processes_that_rest(endpoints: Iterable[EndpointSpec]) -> set[str]:
    """Processes of ours that may rest."""
    return {spec.residence.model for spec in endpoints if spec.residence is not None and spec.residence.process}
