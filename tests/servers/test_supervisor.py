"""The supervisor on virtual time: traces of what it decides, and its promises under anything that may happen."""

from __future__ import annotations

from math import inf
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.server_effects import Answer, Ask, Became, Effect, Gone, Kill, Spawn, Terminate
from orchestrator.deploy.supervisor import Supervisor
from orchestrator.deploy.supervisor_rules import SupervisorRules

RULES: Final = SupervisorRules(again=Backoff(1.0, 60.0, 0.0))
TOKEN: Final = Answer(True)
NOT_YET: Final = Answer(False, "loading")


class Play:
    """Drives a supervisor and keeps what it wants as lines, with the time."""

    def __init__(self, rules: SupervisorRules = RULES) -> None:
        self.supervisor = Supervisor(rules, lambda: 0.5)
        self.now = 0.0
        self.lines: list[str] = []
        self.ask: Ask | None = None

    def want(self, digest: str = "one", timeout: float = 30.0) -> None:
        self.note("want", self.supervisor.on_want("a", digest, timeout, self.now))

    def unwant(self) -> None:
        self.note("unwant", self.supervisor.on_unwant("a", self.now))

    def spawned(self) -> None:
        self.note("spawned", self.supervisor.on_spawned("a", self.now))

    def exits(self, why: str = "exit code 1") -> None:
        self.note("exit", self.supervisor.on_exit("a", why, self.now))

    def answers(self, answer: Answer) -> None:
        assert self.ask is not None, "nobody asked"
        self.note("answer", self.supervisor.on_asked(self.ask, answer, self.now))

    def works(self, *names: str) -> None:
        self.note("work", self.supervisor.on_work(names, self.now))

    def rest(self) -> None:
        self.note("rest", self.supervisor.on_rest("a", "nobody needs it", self.now))

    def need(self) -> None:
        self.note("need", self.supervisor.on_needed("a", self.now))

    def comes_up(self) -> None:
        """From a spawn to its first token."""
        self.spawned()
        self.until(self.now)
        self.answers(TOKEN)

    def crashes_at_once(self) -> None:
        self.spawned()
        self.exits()

    def until(self, moment: float) -> None:
        """Let time pass; a tick whenever one is due."""
        while self.supervisor.due <= moment:
            self.now = max(self.now, self.supervisor.due)
            self.note("tick", self.supervisor.on_tick(self.now))
        self.now = max(self.now, moment)

    def note(self, event: str, effects: list[Effect]) -> None:
        shown = [_shown(each) for each in effects]
        self.lines.append(f"{self.now:g} {event}: {', '.join(shown) or '-'}")
        self.ask = next((each for each in effects if isinstance(each, Ask)), self.ask)

    @property
    def trace(self) -> str:
        return "\n".join(self.lines)


def _shown(effect: Effect) -> str:
    if isinstance(effect, Became):
        return f"{effect.state}{f' ({effect.why})' if effect.why else ''}"
    return type(effect).__name__.lower()


def test_a_server_is_ready_by_a_token_only() -> None:
    """It is asked at once, then at growing pauses, until a token comes."""
    play = Play()
    play.want()
    play.spawned()
    play.until(0)
    play.answers(NOT_YET)
    play.until(0.05)
    play.answers(NOT_YET)
    play.until(0.2)
    play.answers(TOKEN)
    assert play.trace == (
        "0 want: starting, spawn\n0 spawned: starting\n0 tick: ask\n0 answer: -\n0.05 tick: ask\n0.05 answer: -\n"
        "0.15 tick: ask\n0.2 answer: ready"
    )
    assert play.supervisor.due == inf


def test_one_that_crashes_at_start_is_given_up_after_three_tries() -> None:
    """With pauses that double, told with its last words; after its rest it is tried once more."""
    play = Play()
    play.want()
    play.crashes_at_once()
    play.until(1)
    play.crashes_at_once()
    play.until(3)
    play.crashes_at_once()
    play.until(903)
    play.crashes_at_once()
    assert play.trace == (
        "0 want: starting, spawn\n0 spawned: starting\n0 exit: waiting (exit code 1)\n1 tick: starting, spawn\n"
        "1 spawned: starting\n1 exit: waiting (exit code 1)\n3 tick: starting, spawn\n3 spawned: starting\n"
        "3 exit: failed (given up after 3 tries: exit code 1; it rests for 15 min)\n903 tick: starting, spawn\n"
        "903 spawned: starting\n903 exit: failed (given up after 4 tries: exit code 1; it rests for 15 min)"
    )


def test_one_that_crashes_later_comes_back_until_it_does_so_too_often() -> None:
    """Five exits within ten minutes are a crash loop, however well it came up each time."""
    play = Play()
    play.want()
    for number in range(5):
        play.comes_up()
        play.until(play.now + 5)
        play.exits(f"killed by SIGKILL {number}")
        if number < 4:
            play.until(play.supervisor.due)
    assert play.lines[-1].endswith("failed (given up after 5 tries: killed by SIGKILL 4; it rests for 15 min)")


def test_a_crash_after_a_calm_time_is_as_the_first() -> None:
    """What was long ago is not counted: one crash an hour is no loop."""
    play = Play()
    play.want()
    for _ in range(20):
        play.comes_up()
        play.until(play.now + 3600)
        play.exits()
        assert play.supervisor.due == play.now + 1
        play.until(play.now + 1)


def test_one_that_hangs_at_start_is_killed_and_that_counts_as_a_crash() -> None:
    """After its time is over, also in the middle of being asked."""
    play = Play()
    play.want(timeout=10)
    play.spawned()
    play.until(12)
    play.exits("killed by SIGKILL")
    assert play.lines[-2:] == ["10 tick: kill", "12 exit: waiting (no first token within 10 s)"]


def test_one_that_will_never_answer_is_not_asked_again() -> None:
    """A model that is not there does not come by waiting."""
    play = Play()
    play.want()
    play.spawned()
    play.until(0)
    play.answers(Answer(False, "no such model", hopeless=True))
    play.exits("killed by SIGKILL")
    assert play.lines[-2:] == ["0 answer: kill", "0 exit: waiting (no such model)"]


def test_a_stop_asks_first_and_kills_after_the_grace() -> None:
    """Again and again, until nothing is left."""
    play = Play()
    play.want()
    play.comes_up()
    play.unwant()
    play.until(20)
    play.exits("killed by SIGKILL")
    assert play.lines[-4:] == [
        "0 unwant: stopping (it is not wanted any more), terminate",
        "10 tick: kill",
        "20 tick: kill",
        "20 exit: gone",
    ]


def test_other_options_restart_it_with_a_clean_slate() -> None:
    """The old process ends first: two of them may not fit into memory."""
    play = Play()
    play.want("one")
    play.comes_up()
    play.want("one")
    play.want("two")
    play.exits("exit code 0")
    assert play.lines[-3:] == [
        "0 want: -",
        "0 want: stopping (it is started again with other options), terminate",
        "0 exit: starting, spawn",
    ]


def finishing(*, other: bool) -> Play:
    """One that works, and is on its way out: for ``other`` options, or for good."""
    play = Play()
    play.want("one")
    play.comes_up()
    play.works("a")
    if other:
        play.want("two")
    else:
        play.unwant()
    return play


def test_one_that_goes_first_finishes_what_it_works_on() -> None:
    """It is asked to end when it has worked on nothing for half a second: a request may call it again. Then other options come."""
    play = Play()
    play.want("one")
    play.comes_up()
    play.works("a")
    play.want("two")
    play.until(12)
    play.works("a")
    play.until(12.4)
    play.works()
    play.until(12.5)
    play.works()
    play.exits("exit code 0")
    assert play.lines[-5:] == [
        "0 want: stopping (it is started again with other options; it finishes what it works on)",
        "12 work: -",
        "12.4 work: -",
        "12.5 work: stopping (it is started again with other options), terminate",
        "12.5 exit: starting, spawn",
    ]


def test_one_that_finishes_nothing_in_its_time_is_ended_all_the_same() -> None:
    """Thirty seconds; then asked, then killed. One that only starts is asked at once, whatever is said of it."""
    play = Play()
    play.want()
    play.comes_up()
    play.works("a")
    play.unwant()
    play.works("a")
    play.until(41)
    play.exits("killed by SIGKILL")
    assert play.lines[-5:] == [
        "0 unwant: stopping (it is not wanted any more; it finishes what it works on)",
        "0 work: -",
        "30 tick: stopping (it is not wanted any more), terminate",
        "40 tick: kill",
        "41 exit: gone",
    ]
    play.want()
    play.spawned()
    play.works("a")
    play.unwant()
    assert play.lines[-1] == "41 unwant: stopping (it is not wanted any more), terminate"


@pytest.mark.parametrize("other", [False, True])
def test_one_that_is_wanted_again_while_it_finishes_goes_on(other: bool) -> None:
    """As it runs; who wants it otherwise gets that one once it has ended."""
    play = finishing(other=other)
    play.want("one")
    play.works()
    play.until(100)
    assert play.lines[-2:] == ["0 want: ready (it is wanted again)", "0 work: -"]
    assert play.supervisor.wards["a"].state == "ready"


def test_one_that_will_take_less_holds_what_it_takes_until_it_has_ended() -> None:
    """Whoever waits for its room would come beside its old process."""
    supervisor = Supervisor(RULES, lambda: 0.5)
    supervisor.on_want("a", "one", 30.0, 0.0, 8)
    supervisor.on_spawned("a", 0.0)
    (ask,) = (each for each in supervisor.on_tick(0.0) if isinstance(each, Ask))
    supervisor.on_asked(ask, TOKEN, 0.0)
    supervisor.on_work(["a"], 0.0)
    supervisor.on_want("a", "two", 30.0, 0.0, 4)
    supervisor.on_want("a", "two", 30.0, 1.0, 4)
    assert supervisor.wards["a"].memory == 8
    supervisor.on_exit("a", "exit code 0", 2.0)
    assert supervisor.wards["a"].memory == 4


@pytest.mark.parametrize("other", [False, True])
def test_one_that_nobody_needs_while_it_finishes_is_ended_at_once(other: bool) -> None:
    """Its memory is wanted; where other options were to come, they do all the same."""
    play = finishing(other=other)
    play.rest()
    why = "it is started again with other options" if other else "it is not wanted any more"
    assert play.lines[-1] == f"0 rest: stopping ({why}), terminate"
    play.rest()
    assert play.lines[-1] == "0 rest: -"
    play.exits("exit code 0")
    assert play.lines[-1] == ("0 exit: starting, spawn" if other else "0 exit: gone")


def test_one_that_crashes_while_it_finishes_is_gone() -> None:
    """Nothing of it counts against the next one."""
    play = Play()
    play.want("one")
    play.comes_up()
    play.works("a")
    play.want("two")
    play.exits()
    assert play.lines[-1] == "0 exit: starting, spawn"
    assert not play.supervisor.wards["a"].exits


def test_options_that_change_while_it_is_being_started_do_not_leave_the_old_one() -> None:
    """It is ended as soon as it is there."""
    play = Play()
    play.want("one")
    play.want("two")
    play.spawned()
    play.exits("exit code 0")
    assert play.lines[-2:] == [
        "0 spawned: starting, stopping, terminate",
        "0 exit: starting, spawn",
    ]


def test_an_apply_tries_one_that_was_given_up_afresh() -> None:
    """Who applies has perhaps mended it."""
    play = Play()
    play.want()
    for _ in range(3):
        play.crashes_at_once()
        play.until(play.supervisor.due if play.supervisor.wards["a"].state == "waiting" else play.now)
    play.want()
    play.crashes_at_once()
    assert play.lines[-3:-1] == ["3 want: starting, spawn", "3 spawned: starting"]
    assert play.lines[-1] == "3 exit: waiting (exit code 1)"


def test_one_that_was_ready_has_a_minute_to_show_a_token_again() -> None:
    """Its model is loaded, however long it may take at its start: one that was stopped is not waited for so long."""
    play = Play()
    play.want(timeout=300)
    play.comes_up()
    play.note("doubt", play.supervisor.on_doubt("a", play.now))
    play.until(59)
    assert not any("kill" in line for line in play.lines)
    play.until(60)
    assert play.lines[-1] == "60 tick: kill"


def test_one_that_was_given_up_waits_for_room_after_its_rest() -> None:
    """Others took its memory: it is tried once they have gone, and not before."""
    play = Play()
    play.want()
    for _ in range(3):
        play.crashes_at_once()
        play.until(play.supervisor.due if play.supervisor.wards["a"].state == "waiting" else play.now)
    play.supervisor.on_room({"a"})
    play.until(905)
    assert (play.supervisor.wards["a"].state, play.lines[-1]) == ("failed", "905 tick: -")
    play.supervisor.on_room(())
    play.until(906)
    assert play.lines[-1] == "906 tick: starting, spawn"


def test_one_that_makes_no_progress_must_show_a_token_again() -> None:
    """It is ready again with one; without one in its time it is ended and started anew, which counts as an exit."""
    play = Play()
    play.want(timeout=10)
    play.comes_up()
    play.note("doubt", play.supervisor.on_doubt("a", play.now))
    play.until(play.now)
    play.answers(TOKEN)
    play.note("doubt", play.supervisor.on_doubt("a", play.now))
    play.until(12)
    play.exits("killed by SIGKILL")
    asked = "starting (it made no progress, and is asked for a token)"
    assert play.lines[-7:] == [
        *(f"0 doubt: {asked}", "0 tick: ask", "0 answer: ready", f"0 doubt: {asked}", "0 tick: ask", "10 tick: kill"),
        "12 exit: waiting (no first token within 10 s (it made no progress, and is asked for a token))",
    ]


def test_an_answer_of_an_earlier_process_says_nothing_of_this_one() -> None:
    """It was asked before the crash, and the answer came after."""
    play = Play()
    play.want()
    play.spawned()
    play.until(0)
    earlier = play.ask
    play.exits()
    play.until(1)
    play.spawned()
    play.until(1)
    assert earlier is not None and play.ask is not None and earlier != play.ask
    assert play.supervisor.on_asked(earlier, TOKEN, 1.0) == []
    assert play.supervisor.wards["a"].state == "starting"


def test_one_that_rests_has_no_process_until_it_is_needed() -> None:
    """It is no crash, and whoever wants it as it is does not start it; the need does, and the token makes it ready."""
    play = Play()
    play.want()
    play.comes_up()
    play.rest()
    play.exits("ended by SIGTERM")
    play.want()
    play.until(1000)
    play.need()
    play.need()
    play.comes_up()
    assert play.trace == (
        "0 want: starting, spawn\n0 spawned: starting\n0 tick: ask\n0 answer: ready\n"
        "0 rest: stopping (nobody needs it), terminate\n0 exit: resting (the next request starts it)\n0 want: -\n"
        "1000 need: starting (it is needed again), spawn\n1000 need: -\n"
        "1000 spawned: starting\n1000 tick: ask\n1000 answer: ready"
    )
    assert not play.supervisor.wards["a"].exits


def test_one_that_is_needed_while_it_comes_to_rest_is_started_when_it_has_ended() -> None:
    """One that does not end in time is killed first, as ever."""
    play = Play()
    play.want()
    play.comes_up()
    play.rest()
    play.need()
    play.until(10)
    play.exits("killed by SIGKILL")
    assert play.lines[-4:] == [
        "0 rest: stopping (nobody needs it), terminate",
        "0 need: -",
        "10 tick: kill",
        "10 exit: starting (it is needed again), spawn",
    ]
    assert play.supervisor.wards["a"].kept


def test_a_start_from_rest_that_fails_is_tried_again_like_any_other() -> None:
    """From then on nothing that was bound to it is kept; after three tries it is given up."""
    play = Play()
    play.want()
    play.comes_up()
    play.rest()
    play.exits()
    play.need()
    assert play.supervisor.wards["a"].kept
    for moment in (0, 1, 3):
        play.until(moment)
        play.crashes_at_once()
        assert not play.supervisor.wards["a"].kept
    assert play.lines[-1].startswith("3 exit: failed (given up after 3 tries: exit code 1")


def test_one_that_rests_is_started_with_other_options_and_forgotten_where_nobody_wants_it() -> None:
    """An apply must see that it can be had so; and there is nothing left to be ended."""
    play = Play()
    play.want()
    play.comes_up()
    play.rest()
    play.exits()
    play.want("two")
    play.comes_up()
    play.rest()
    play.unwant()
    play.exits()
    assert play.lines[-7:] == [
        *("0 want: starting, spawn", "0 spawned: starting", "0 tick: ask", "0 answer: ready"),
        *("0 rest: stopping (nobody needs it), terminate", "0 unwant: -", "0 exit: gone"),
    ]
    play.want()
    play.comes_up()
    play.rest()
    play.exits()
    play.unwant()
    assert play.lines[-1] == "0 unwant: gone"


def test_only_one_that_is_ready_comes_to_rest() -> None:
    """One that starts proves itself first, and one that was given up has no process."""
    play = Play()
    play.rest()
    play.want()
    play.rest()
    play.spawned()
    play.rest()
    play.exits()
    play.rest()
    assert [line for line in play.lines if "rest" in line] == ["0 rest: -"] * 4


names = st.sampled_from(["a", "b"])


class SupervisorMachine(RuleBasedStateMachine):
    """A careful driver: it does what the effects say, in any order and at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.supervisor = Supervisor(RULES, lambda: 0.5)
        self.now = 0.0
        self.processes: set[str] = set()
        self.spawning: set[str] = set()
        self.asks: list[Ask] = []
        self.told_to_end: set[str] = set()
        self.wanted: set[str] = set()

    def do(self, effects: list[Effect]) -> None:
        for effect in effects:
            name = effect.name
            if isinstance(effect, Spawn):
                assert name not in self.processes | self.spawning, "two processes for one server"
                assert name in self.wanted, "nobody wants it"
                self.spawning.add(name)
            elif isinstance(effect, Ask):
                assert name in self.processes, "nobody is there to be asked"
                self.asks.append(effect)
            elif isinstance(effect, Terminate | Kill):
                assert name in self.processes, "nobody is there to be ended"
                self.told_to_end.add(name)
            elif isinstance(effect, Gone):
                assert name not in self.processes | self.spawning | self.wanted, "something is left of it"

    @rule(name=names, digest=st.sampled_from(["one", "two"]))
    def want(self, name: str, digest: str) -> None:
        self.wanted.add(name)
        self.do(self.supervisor.on_want(name, digest, 30.0, self.now))

    @rule(name=names)
    def unwant(self, name: str) -> None:
        self.wanted.discard(name)
        self.do(self.supervisor.on_unwant(name, self.now))

    @precondition(lambda self: self.spawning)
    @rule(well=st.booleans())
    def spawn_ends(self, well: bool) -> None:
        name = self.spawning.pop()
        if well:
            self.processes.add(name)
            self.do(self.supervisor.on_spawned(name, self.now))
        else:
            self.do(self.supervisor.on_not_spawned(name, "no such program", self.now))

    @precondition(lambda self: self.processes)
    @rule(name=names)
    def exit(self, name: str) -> None:
        if name in self.processes:
            self.processes.discard(name)
            self.told_to_end.discard(name)
            self.do(self.supervisor.on_exit(name, "exit code 1", self.now))

    @rule(name=names)
    def doubt(self, name: str) -> None:
        self.do(self.supervisor.on_doubt(name, self.now))

    @rule(name=names)
    def rest(self, name: str) -> None:
        self.do(self.supervisor.on_rest(name, "nobody needs it", self.now))

    @rule(working=st.sets(names))
    def work(self, working: set[str]) -> None:
        self.do(self.supervisor.on_work(working, self.now))

    @rule(name=names)
    def need(self, name: str) -> None:
        self.do(self.supervisor.on_needed(name, self.now))

    @precondition(lambda self: self.asks)
    @rule(
        answer=st.sampled_from(
            [TOKEN, NOT_YET, Answer(False, "no", hopeless=True), Answer(False, "no model", empty=True)]
        )
    )
    def answer(self, answer: Answer) -> None:
        self.do(self.supervisor.on_asked(self.asks.pop(), answer, self.now))

    @rule(seconds=st.sampled_from([0.01, 0.5, 5.0, 40.0, 1000.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.supervisor.on_tick(self.now))

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """Every process and every wish has a ward; each ward moves on by itself, or waits for something that comes."""
        wards = self.supervisor.wards
        assert self.processes | self.spawning | self.wanted == set(wards)
        for name, ward in wards.items():
            assert ward.lives == (name in self.processes)
            assert ward.wanted == (name in self.wanted)
            assert (ward.state in ("ready", "empty")) <= ward.lives
            assert (ward.state == "resting") <= (not ward.lives and ward.rests and ward.kept and ward.wanted)
            assert ward.rests <= (ward.state in ("stopping", "resting"))
            resting = ward.state in ("ready", "resting") or name in self.spawning
            assert resting or ward.again < inf, "it would wait for ever"
            assert name in self.told_to_end or ward.finishes or ward.state != "stopping", (
                "it is ending, and nobody told it"
            )
            assert ward.finishes <= (ward.state == "stopping" and ward.again <= self.now + RULES.finishes)


SupervisorMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestSupervisor = SupervisorMachine.TestCase
