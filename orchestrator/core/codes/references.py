"""ORC2xx: names that point at other parts, secrets, files and what this version cannot do yet."""

from __future__ import annotations

from typing import Final

from orchestrator.core.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "ORC201",
        "unknown agent",
        "No agent has this name.",
        "Write the name of an agent, or add one under deployment.agents.",
        "escalate_to: biling",
    ),
    Code(
        "ORC202",
        "unknown model",
        "The alias is neither in the manifest nor in the catalogue.",
        "Write an alias of the catalogue, or give the model provider and model under deployment.models.",
        "model: phy-4-mini",
    ),
    Code(
        "ORC203",
        "unknown tool",
        "No tool under deployment.tools and no built-in has this name.",
        "Write the name of a tool, or add one under deployment.tools.",
        "tools: [databse]",
    ),
    Code(
        "ORC204",
        "unknown document set",
        "No set under deployment.knowledge has this name.",
        "Add it under deployment.knowledge.",
        "knowledge: [faq]",
    ),
    Code(
        "ORC205",
        "unknown template",
        "The catalogue has no template of this name.",
        "Write the name of a template.",
        "template: suport",
    ),
    Code(
        "ORC206",
        "tool not given to the agent",
        "A reflex rule calls a tool that its agent may not use, or one without the function.",
        "Add the tool to the agent's tools.",
        "call: tickets.create",
    ),
    Code(
        "ORC210", "two of one name", "Names are how parts point at each other.", "Rename one of them.", "agents: [a, a]"
    ),
    Code(
        "ORC211",
        "agent on two nodes",
        "An agent runs on one node; copies of it are not in this version.",
        "Leave it on one node.",
    ),
    Code(
        "ORC212",
        "key of the other type of deployment",
        "Nodes and their coordination belong to distributed-edge.",
        "Write type: distributed-edge, or remove the key.",
        "nodes: [{id: edge-1}]",
    ),
    Code(
        "ORC213",
        "distributed without nodes",
        "A distributed-edge deployment says which nodes it has.",
        "Add deployment.nodes, or write type: single-device.",
        "type: distributed-edge",
    ),
    Code(
        "ORC220",
        "both spellings",
        "Two spellings of one key hold different values.",
        "Keep one of them.",
        "provider: ollama\nmodel_provider: vllm",
    ),
    Code(
        "ORC221",
        "key of another role",
        "The key means nothing for an agent of this role.",
        "Remove the key, or change the role.",
        "routes: [a]",
    ),
    Code(
        "ORC222",
        "two primary models",
        "The primary serves what no other model claims: there can be one.",
        "Let one of them be primary.",
    ),
    Code(
        "ORC223",
        "role taken as instructions",
        "A role that is none of router, specialist and escalation is read as what the agent should do.",
        "Write it under instructions.",
        "role: Handle customer inquiries",
    ),
    Code(
        "ORC224",
        "agent that points at itself",
        "A route, default or escalation that leads back to its own agent would never end.",
        "Name another agent.",
        "escalate_to: (its own name)",
    ),
    Code(
        "ORC226",
        "tool of no kind",
        "A tool is a built-in or a Python function, and not both.",
        "Add `use:` with a built-in, or `python: module:function`.",
        "tools: [{name: stock}]",
    ),
    Code(
        "ORC227",
        "option of another tool",
        "The option means nothing for this kind of tool.",
        "Remove it.",
        "tools: [{name: clock, queries: {}}]",
    ),
    Code(
        "ORC230",
        "secret in clear",
        "A secret in a file ends in backups, logs and version control.",
        "Write a reference: env:NAME, file:PATH or keyring:NAME.",
        "api_key: (the key itself)",
    ),
    Code(
        "ORC231",
        "looks like a secret",
        "A text that looks like a key, token or password stands in the file, be it in a comment.",
        "Take it out, change it where it was issued, and write a reference: env:NAME, file:PATH or keyring:NAME.",
    ),
    Code(
        "ORC240",
        "path outside the manifest's folder",
        "Prompts are read from below the manifest's folder only.",
        "Put the file there.",
        "instructions: file:../prompt.md",
    ),
    Code("ORC241", "prompt file not readable", "The file that instructions name cannot be read.", "Check the path."),
    Code(
        "ORC242",
        "Python tool outside the allowed folders",
        "Python tools are loaded from the manifest's folder and from security.tool_roots only.",
        "Put the module there, or add its folder to security.tool_roots.",
        "python: os:system",
    ),
    Code(
        "ORC243",
        "template does not compile",
        "The text is no valid Jinja2 template.",
        "Mend it; literal braces are {{ '{{' }}.",
        "say: '{{ a'",
    ),
    Code(
        "ORC244",
        "template leaves the sandbox",
        "Templates may not reach into Python: no names that begin with an underscore, no imports.",
        "Use plain values and filters.",
        "say: '{{ x.__class__ }}'",
    ),
    Code("ORC245", "pattern does not compile", "The text is no valid regular expression.", "Mend it.", "regex: '('"),
    Code(
        "ORC246",
        "pattern that may take for ever",
        "A repeat inside a repeat can match the same text in very many ways; one request could stop the deployment.",
        "Repeat once, or separate the repeats by a character that they cannot match.",
        "regex: '(a+)+$'",
    ),
    Code(
        "ORC247",
        "no valid JSON Schema",
        "output_schema is not a schema of JSON Schema 2020-12.",
        "Mend it.",
        "output_schema: {type: objekt}",
    ),
    Code(
        "ORC248",
        "unknown time zone",
        "The device does not know this time zone.",
        "Write a name like Europe/Rome.",
        "timezone: Mars",
    ),
)
