"""Looking for model servers: who is asked, and what is told where somebody cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import DeployError
from orchestrator.deploy.observe import Observer
from orchestrator.plan.binding import bind_all
from orchestrator.plan.observed import ObservedState
from tests.deploy.fakes import OLLAMA, FakeProvider, Surroundings, workshop
from tests.plan.parts import agent, blueprint, model

pytestmark = pytest.mark.anyio
PLACE = "http://127.0.0.1:9000"
ACME: dict[str, Any] = {
    "provider": "plugin:acme",
    "ids": {"plugin:acme": ["m"]},
    "endpoint": PLACE,
    "api_key": "env:ACME",
}
SHOP = blueprint(model(**ACME), agent("stock", models=["phi-4-mini"]))
OTHER = blueprint(model(endpoint=PLACE, ids={"*": ["m"]}), agent("stock", models=["phi-4-mini"]))


def loading(name: str) -> Any:
    """No package has ``gone``."""
    if name == "plugin:gone":
        raise DeployError('no provider is called "plugin:gone"')
    return FakeProvider()


def seen(observer: Observer) -> ObservedState:
    """As the planner gets it."""
    return ObservedState(servers=observer.servers, silent=observer.silent)


async def test_a_provider_of_another_package_is_asked_only_where_its_models_are(tmp_path: Path) -> None:
    """With their keys; the makes of the table are asked where theirs are, without those keys."""
    around = Surroundings()
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    await observer.look([SHOP, SHOP])
    assert around.asked == {"plugin:acme": [f"{PLACE} with value of env:ACME"]}
    await observer.look([SHOP, OTHER])
    assert around.asked == {"": [PLACE, OLLAMA], "plugin:acme": [f"{PLACE} with value of env:ACME"]}


async def test_a_provider_of_another_package_takes_no_server_from_others(tmp_path: Path) -> None:
    """One address may be a server of both: each model has the one that its manifest names."""
    around = Surroundings(servers={PLACE: ("m",)})
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    await observer.look([SHOP, OTHER])
    mine, other = (bind_all(each, seen(observer))["phi-4-mini"].endpoints for each in (SHOP, OTHER))
    assert [endpoint.provider for endpoint in mine] == ["plugin:acme"]
    assert [endpoint.provider for endpoint in other] == ["ollama"]
    around.mute = {"plugin:acme"}
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    await observer.look([SHOP, OTHER])
    bound = bind_all(SHOP, seen(observer))["phi-4-mini"]
    assert bound.missing == f"{PLACE}: plugin:acme is broken"
    assert bound.cure.endswith("or mend the package of plugin:acme")
    assert bind_all(OTHER, seen(observer))["phi-4-mini"].endpoints == other
    around.mute, around.busy = set(), {PLACE}
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    await observer.look([SHOP])
    why = f"{PLACE}: plugin:acme does not know it: it accepts connections and then says nothing"
    assert bind_all(SHOP, seen(observer))["phi-4-mini"].missing == why


async def test_a_server_that_is_busy_is_still_there_and_one_whose_place_is_taken_is_not(tmp_path: Path) -> None:
    """What was told before holds while nothing is told; another program at its address tells that it is gone."""
    around = Surroundings(servers={PLACE: ("phi4-mini",)})
    observer = Observer(replace(workshop(around, tmp_path), usual_places=(PLACE,)))
    await observer.look([OTHER])
    assert [server.url for server in observer.servers] == [PLACE]
    around.busy = {PLACE}
    await observer.look([OTHER])
    assert [server.url for server in observer.servers] == [PLACE]
    around.strangers = {PLACE}
    await observer.look([OTHER])
    assert [server.url for server in observer.servers] == []
    around.busy, around.strangers = set(), set()
    await observer.look([OTHER])
    assert [server.url for server in observer.servers] == [PLACE]


async def test_a_provider_whose_package_is_gone_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """The others are looked for, and who needs it knows why it is not there, in the cloud too."""
    around = Surroundings()
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    gone = blueprint(model(provider="plugin:gone"), agent("stock", models=["phi-4-mini"]))
    cloud = {"provider": "plugin:gone", "zone": "cloud", "endpoint": "https://acme.example"}
    far = blueprint(model(**cloud), agent("stock", models=["phi-4-mini"]))
    await observer.look([gone, far, SHOP])
    assert list(around.asked) == ["plugin:acme"]
    for each in (gone, far):
        assert bind_all(each, seen(observer))["phi-4-mini"].missing == 'no provider is called "plugin:gone"'


async def test_a_model_of_another_package_without_an_address_says_what_to_write(tmp_path: Path) -> None:
    """Nobody is asked for it."""
    around = Surroundings()
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    lost = blueprint(model(**{**ACME, "endpoint": None, "api_key": None}), agent("stock", models=["phi-4-mini"]))
    await observer.look([lost])
    bound = bind_all(lost, seen(observer))["phi-4-mini"]
    assert around.asked == {}
    assert bound.missing == "plugin:acme is asked only at the addresses that its models name, and phi-4-mini names none"
    assert bound.cure == "write the endpoint of phi-4-mini"


async def test_a_server_that_does_not_tell_its_version_just_now_is_the_one_that_was_there(tmp_path: Path) -> None:
    """It is busy or about to end; what was found out about its version holds."""
    around = Surroundings(servers={PLACE: ("phi4-mini",)})
    observer = Observer(replace(workshop(around, tmp_path), usual_places=(PLACE,)))
    for told, known in (("1", "1"), ("", "1"), ("2", "2")):
        around.version = told
        await observer.look([OTHER])
        assert [server.version for server in observer.servers] == [known]


async def test_what_a_model_told_while_it_was_loaded_holds_while_it_is_not(tmp_path: Path) -> None:
    """Else each load and each unload would make another deployment."""
    around = Surroundings(servers={PLACE: ("phi4-mini",)}, loads=True, loaded={"phi4-mini"})
    observer = Observer(replace(workshop(around, tmp_path), usual_places=(PLACE,)))
    around.context = 2048
    await observer.look([OTHER])
    around.loaded, around.context = set(), None
    await observer.look([OTHER])
    [model] = observer.servers[0].models
    assert (model.loaded, model.context) == (False, 2048)
