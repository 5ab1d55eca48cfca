"""ORC4xx-6xx: what goes wrong while acting: plan, apply and the runtime (4xx), runs (5xx), usage (6xx)."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "ORC401",
        "plan refused",
        "The plan removes something, cannot be made from what was observed, or another apply changed things meanwhile.",
        "Read the plan; repeat with --yes if the removal is meant; where another apply was faster, apply again.",
    ),
    Code(
        "ORC410", "deployment failed", "A step of the plan could not be carried out.", "Mend its cause and apply again."
    ),
    Code(
        "ORC411",
        "runtime unavailable",
        "The background runtime does not answer or could not start.",
        "See `orchestrator runtime logs`; start it with `orchestrator runtime start`.",
    ),
    Code(
        "ORC412",
        "state folder unusable",
        "The folder for state cannot be written, is on a read-only disk, belongs to another user, or its database is damaged.",
        "Set ORCHESTRATOR_HOME to a folder that you own; a damaged database is in docs/runtime.md.",
    ),
    Code("ORC413", "no such deployment", "No applied deployment has this name.", "See `orchestrator status`."),
    Code(
        "ORC414",
        "runtime is not of this command",
        "The running runtime is of another version of the program, or runs in another Python than the command that applies "
        "Python tools.",
        "Restart it: `orchestrator runtime stop`, then apply again.",
    ),
    Code(
        "ORC415",
        "port taken",
        "Another process listens on the port that was asked for.",
        "Choose another port, or stop that process.",
    ),
    Code(
        "ORC416",
        "name clash",
        "Two different manifests claim the same deployment name.",
        "Give one of them another metadata.name.",
    ),
    Code(
        "ORC417",
        "no model server for it",
        "No model server answers that has this model, or that can load, pull or remove it.",
        "See `orchestrator models list`, and start or install a server that can; docs/providers.md says which.",
    ),
    Code(
        "ORC418",
        "program not installed",
        "The model is to be served by a program that is started for it, and that is not on this device.",
        "Install it; the message or the plan has the line for this system, and `orchestrator models command ALIAS` shows it too.",
    ),
    Code(
        "ORC421",
        "tools that no server calls",
        "The agent has tools, and the servers of its models call no functions: their make does not, or a probe showed it.",
        "Serve its model by a server that does (`orchestrator doctor --probe` shows which), or take its tools away.",
    ),
    Code(
        "ORC422",
        "model server too old",
        "The server tells a version that is older than those of which anything is known.",
        "Update it; until then what it cannot do is found out by `orchestrator doctor --probe`.",
    ),
    Code(
        "ORC423",
        "no model server at its endpoint",
        "At the endpoint that the manifest names for a model something answers, and it is no model server that is known.",
        "Mend the address, or stop what is there and start the model server; `orchestrator doctor` says what answers where.",
    ),
    Code(
        "ORC430",
        "no log-probabilities",
        "`low_confidence` goes by how sure the model is of its words, and its server does not tell that.",
        "Serve its model by a server that tells log-probabilities (`orchestrator doctor --probe` shows which), or use other signs:"
        " `abstains`, `agreement`, `self_check`, `judge`.",
    ),
    Code(
        "ORC431",
        "sign without effect",
        "A sign of a wrong answer in `escalate_when` can never show: nobody is there to hand over to, or the answer has no room"
        " to say it.",
        "Add `escalate_to`, or give `output_schema` a property that says it.",
    ),
    Code(
        "ORC432",
        "nothing to label",
        "A label is put to the scores of an agent's answer, and this agent gave none in the run: it looked for no sign of a wrong"
        " answer, or it was another agent. With `--router` it is put to the probability by which a router chose, and there was"
        " none: a rule decided, keywords did, or the very words of an example; nobody was chosen, or several were.",
        "Name the agent or router that is meant, or give the agent a sign in `escalate_when`; `orchestrator explain run ID` shows"
        " the scores.",
    ),
    Code(
        "ORC440",
        "no such approval",
        "Nothing of this id waits or waited for a person; what is done is forgotten after a week, but for the newest thousand.",
        "See `orchestrator approvals list --all`.",
    ),
    Code(
        "ORC441",
        "approval closed",
        "It is decided already, its time is over, or the call is not the one that was seen.",
        "See `orchestrator approvals show ID`: it says who decided what, and when.",
    ),
    Code(
        "ORC442",
        "no such delivery",
        "Nothing of this id waits or waited for its target.",
        "`orchestrator outbox list --all` shows what there is.",
    ),
    Code(
        "ORC443",
        "it does not wait any more",
        "The request was delivered, has expired, or somebody cancelled it.",
        "`orchestrator outbox show ID` says what became of it.",
    ),
    Code(
        "ORC460",
        "fleet membership",
        "This machine cannot become, be, or stop being a node of a fleet as it was asked.",
        "The cure beside the error says what to type; `orchestrator node status` tells what this machine is.",
    ),
    Code(
        "ORC461",
        "token refused",
        "The token of a join is not whole, was used, is too old, or is of another fleet.",
        "On the hub, `orchestrator node invite` makes another one.",
    ),
    Code(
        "ORC462",
        "not signed",
        "What the operator of a fleet must have signed is not signed by them, or was changed since.",
        "Apply it again where the operator's key is: on the first node of the fleet.",
    ),
    Code(
        "ORC463",
        "taken back",
        "A new manifest went over the nodes of a fleet, and one of them could not serve it or did worse with it than before. All "
        "nodes serve again what they served.",
        "Mend what the message names, and apply again; `orchestrator status` keeps the reason.",
    ),
    Code("ORC501", "run failed", "A run ended with an error.", "See `orchestrator explain run ID`."),
    Code(
        "ORC502",
        "no model serves this agent",
        "The agent needs a model and no server on this device serves one of its models.",
        "Start a model server or pull the model; `orchestrator doctor` says which.",
    ),
    Code(
        "ORC503",
        "queue full",
        "The bounded queue has no room for this request.",
        "Try again later, or raise queue limits.",
    ),
    Code(
        "ORC504",
        "deadline passed",
        "The request did not finish within its time.",
        "Give it more time, or see where it went.",
    ),
    Code("ORC505", "cancelled", "The client went away or the run was cancelled.", "Send it again."),
    Code(
        "ORC506",
        "limit reached",
        "The agent reached its limit of steps, tool calls or tokens.",
        "Raise the limit, or mend the agent.",
    ),
    Code(
        "ORC507",
        "tool failed",
        "A tool refused its arguments or failed.",
        "The line under the error says what was expected, or where it failed. Where it happens again, let the agent hand over: "
        "escalate_to, with tool_failed in escalate_when.",
    ),
    Code(
        "ORC508",
        "answer does not fit its schema",
        "The model's answer stayed invalid after one repair.",
        "Simplify the schema or use a stronger model.",
    ),
    Code(
        "ORC509",
        "would miss its deadline",
        "Waiting work makes it impossible to finish in time.",
        "Give it more time, or add capacity.",
    ),
    Code(
        "ORC520",
        "model server unreachable",
        "The connection was refused or reset before an answer.",
        "Is the server running?",
    ),
    Code(
        "ORC521",
        "model server busy",
        "The server is loading a model or its queue is full.",
        "Wait, or lower max_concurrent.",
    ),
    Code("ORC522", "rate limited", "The server answered 429.", "Wait for the time it named."),
    Code(
        "ORC523",
        "model server refuses us",
        "The server answered 401, 402, 403 or 407.",
        "Check api_key, or the account.",
    ),
    Code("ORC524", "request refused by the model server", "The server answered 400 or 422.", "See its message."),
    Code(
        "ORC525",
        "context too long",
        "The prompt does not fit the context that is served.",
        "Shorten it, or serve a larger context.",
    ),
    Code("ORC526", "model not found", "The server does not serve this model.", "Pull or load it."),
    Code(
        "ORC527",
        "model server failed",
        "The server answered with 5xx, 408, 409 or 425, or told of a fault within its answer.",
        "See its log.",
    ),
    Code(
        "ORC528",
        "broken answer",
        "The answer was cut off, malformed or not of this protocol, or its server ended it in no ordinary way (abort, repetition).",
        "See the server's log.",
    ),
    Code("ORC529", "model server stalled", "No token came for too long.", "See the server's log; raise the time."),
    Code(
        "ORC530",
        "model does not fit",
        "It needs more memory than models may take on this device.",
        "Raise resources.max_memory_usage, or name a smaller build.",
    ),
    Code(
        "ORC540",
        "a person refused",
        "A person denied the call that the run waited for, or the same call before in this run, or would not answer the question.",
        "The message holds the reason that was given. Ask for something else, or talk to that person.",
    ),
    Code(
        "ORC541",
        "no person came in time",
        "The run waited for a person until its approval expired; nothing was done.",
        "Ask again. Where it happens often: raise `expires` under `deployment.people`, or notify people by a webhook or e-mail.",
    ),
    Code(
        "ORC542",
        "too much waits for people",
        "As many questions and calls of this deployment wait for people as `deployment.people` allows.",
        "Decide what waits (`orchestrator approvals list`), or raise `most_waiting`.",
    ),
    Code(
        "ORC543",
        "a run that waited cannot go on",
        "The runtime ended while the approved call was being made, so that nobody knows whether it was; or the deployment "
        "was taken down or changed so that the agent or the function is gone; or it is applied and did not come to serve "
        "within ten minutes of the verdict or of the start; or it waited on another node, which knows nothing of it any more. An "
        "approved call is never made twice.",
        "See by hand whether the call was made; then ask again, which asks for a new approval.",
    ),
    Code(
        "ORC544",
        "the target did not come back",
        "The request waited for a model that could not be reached until its time (`store_and_forward.expires`) was over. "
        "Nobody has answered it. Or it waited for a person on another node of the fleet, of which nothing was heard for as long as "
        "people have to decide (`people.expires`) and ten minutes more.",
        "Ask again once `orchestrator status` says that something serves the agent; give it more time, or an `escalate_to`.",
    ),
    Code(
        "ORC545",
        "too much waits for targets",
        "As many requests of this deployment wait for a target as `store_and_forward.most_waiting` of the agent allows.",
        "See what they wait for (`orchestrator outbox list`), cancel what nobody needs, or raise `most_waiting`.",
    ),
    Code(
        "ORC546",
        "taken back",
        "Somebody cancelled the request while it waited for its target (`orchestrator outbox cancel ID`).",
        "Ask again if it is still wanted.",
    ),
    Code(
        "ORC550",
        "kept on this device",
        "The policy of the manifest does not let it leave: it holds something that `security.redaction` refuses, or that could "
        "not be looked at whole; or what was spent cannot be written down. Nothing was sent.",
        "The message says which rule. Give the agent a model of this device, or somebody to escalate to.",
    ),
    Code(
        "ORC551",
        "budget exceeded",
        "The call would cost more than `escalation.budget`, or the agent's own `budget`, leaves for this run or this day. "
        "Nothing was sent; it is no rate limit, and asking again at once gives the same.",
        "Raise the budget, wait for the next day (UTC), or give the agent somebody to escalate to.",
    ),
    Code("ORC601", "wrong usage", "The command line does not fit.", "See --help."),
)
