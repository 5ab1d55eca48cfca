"""ORC57x: what goes wrong between the nodes of a fleet."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "ORC570",
        "no way to the other nodes",
        "The bus between the nodes cannot be reached, or does not answer in time. This node goes on alone.",
        "See that the hub runs and that this node reaches it; agents of this node answer meanwhile.",
    ),
    Code(
        "ORC571",
        "somebody else was faster",
        "The shared entry was written by another node since it was read.",
        "Read it again and repeat what still makes sense.",
    ),
    Code(
        "ORC572",
        "no node holds the agent",
        "No node that can be reached now holds this agent. An exclusive one also needs its lease, which is kept at the hub. "
        "The message says where this node does not reach the hub: then it reaches no other node.",
        "Start the node that it belongs to, or let others take over with `coordination.failover: automatic`. Where the hub is not "
        "reached, bring it back, or this node's link to it (`orchestrator node status`): without it no node reaches another one, "
        "and an exclusive agent does not act on any.",
    ),
    Code(
        "ORC573",
        "all nodes are busy",
        "Every node that holds the agent has as much waiting as it may.",
        "Ask again after the time that the answer names; give the agent more replicas.",
    ),
    Code(
        "ORC574",
        "the answer was lost on its way",
        "The node that answered fell silent after a part of the answer had reached the caller, or too many in turn did.",
        "Ask again.",
    ),
    Code(
        "ORC575",
        "restricted data stays on its node",
        "The request's data may not leave the node that it came to, and another node holds the agent.",
        "Send the request to the node that holds the agent.",
    ),
    Code(
        "ORC576",
        "handed on too often",
        "The request went from node to node more often than may be, as nodes disagree about who holds the agent.",
        "Ask again; where it stays so, see what each node holds.",
    ),
    Code(
        "ORC577",
        "a letter that is not understood",
        "A letter between nodes is of another version, of an unknown kind, or broken. It was left aside.",
        "Run the same version on all nodes.",
    ),
    Code(
        "ORC578",
        "another node could not answer",
        "The node that held the agent had a fault while it answered.",
        "Read the message, and the log of that node.",
    ),
    Code(
        "ORC579",
        "the lease is not here",
        "An exclusive agent acts only on the node that has its lease. This node has it not, has lost it while the request was in "
        "work, or a newer holder has acted already. What the message names was not done.",
        "Ask again: the node that has the lease answers, and `orchestrator node status` says which that is. While no node can have "
        "it, see ORC570.",
    ),
    Code(
        "ORC580",
        "another node waits for a person",
        "A request is with another node, which waits for a person before it can answer. The run waits here too: that node is asked "
        "until it has ended there, and then it ends here, with the same answer or the same fault. The message says where that node "
        "does not answer just now; it is asked again then, until the run expires (ORC544).",
        "On that node: `orchestrator approvals show ID`, with the id in the message.",
    ),
    Code(
        "ORC581",
        "too large to go to another node",
        "A request goes to another node with its history and what its run has learned, in one message of 1 MB at most, and so does "
        "its answer. This one is larger. It is not tried again, as it would be as large later.",
        "Send less at once, begin a new session, or ask the node that holds the agent itself.",
    ),
)
