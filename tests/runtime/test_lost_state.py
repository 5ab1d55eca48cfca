"""The state database and its copy are damaged: what every verb prints leads out, as it is typed."""

from __future__ import annotations

from orchestrator.app.start import stop_runtime
from orchestrator.deploy.wanted import Wanted
from orchestrator.plugins.hosts.local import LocalHost
from tests.cli.commands import apart
from tests.plan.parts import agent, blueprint, rule
from tests.runtime.living import Home

SHOP = blueprint(agent("a", reflex=[rule("hello")]), name="shop")


def test_the_cure_that_is_printed_leads_out_and_says_where_the_damaged_files_are(home: Home) -> None:
    """Typed as it stands; then an apply works, and a later start is as usual."""
    client = home.start()
    client.apply(Wanted(SHOP))
    home.stop()
    database = home.folders.state / "state.db"
    for path in (database, database.with_name("state.db.desired.json")):
        path.write_bytes(b"noise" * 1000)
    refused = apart("runtime", "start")
    assert refused.code == 4 and "damaged too" in refused.err
    typed = refused.err.partition("cure: orchestrator ")[2].partition(" renames")[0].split()
    assert typed == ["runtime", "start", "--set-aside"]
    ran = apart(*typed)
    assert ran.code == 0, ran.err
    told = [line.strip() for line in ran.err.splitlines() if line.startswith("  ")]
    assert len(told) == 2 and told == sorted(map(str, database.parent.glob("state.db.corrupt-*")))
    assert client.status()["deployments"] == []
    assert client.apply(Wanted(SHOP))["revision"] == 1
    busy = apart(*typed)
    assert busy.code == 4 and "another runtime of this user runs already" in busy.err
    stop_runtime(LocalHost())
    sound = apart(*typed)
    assert sound.code == 0 and "nothing had to be set aside" in sound.err
    assert [each["name"] for each in client.status()["deployments"]] == ["shop"]
    stop_runtime(LocalHost())
