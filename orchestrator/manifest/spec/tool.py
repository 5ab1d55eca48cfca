"""Tools and document sets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from orchestrator.manifest.spec.fields import (
    BUILT_IN,
    BY_OWNER,
    BY_SHAPE,
    MAP,
    Duration,
    Name,
    NameOr,
    PluginOr,
    SecretReference,
    Spec,
)

BuiltinTool = Literal["database", "calendar", "email", "tickets", "knowledge", "clock"]
ToolKind = Annotated[Annotated[BuiltinTool, Tag(BUILT_IN)] | PluginOr, BY_OWNER]


class NamedQuery(Spec):
    """An SQL query that an agent may run, by its name."""

    sql: Annotated[str, Field(min_length=1, max_length=20_000, examples=["select * from products where sku = :sku"])]
    """The statement; values only as parameters (`:name`)."""
    description: Annotated[str, Field(examples=["One product by its number."])] = ""
    """What it answers."""
    parameters: Annotated[
        dict[Name, Literal["string", "integer", "number", "boolean"]], Field(examples=[{"sku": "string"}])
    ] = {}
    """Its parameters and their types."""
    one: bool = False
    """Whether it gives one row (or nothing) instead of a list."""


class Smtp(Spec):
    """A mail server; without it, mails stay in the local outbox."""

    host: Annotated[str, Field(examples=["mail.example.org"])]
    """Its name."""
    port: Annotated[int, Field(ge=1, le=65535, examples=[587])] = 587
    """Its port."""
    user: Annotated[str | None, Field(examples=["shop"])] = None
    """The account."""
    password: Annotated[SecretReference | None, Field(examples=["env:SMTP_PASSWORD"])] = None
    """A reference to its password."""
    starttls: bool = True
    """Whether to encrypt."""


class ToolEntry(Spec):
    """A tool: a built-in with options, or a Python function."""

    name: Annotated[Name, Field(examples=["stock"])]
    """Its name."""
    use: Annotated[ToolKind | None, Field(examples=["database"])] = None
    """The built-in that it is; `plugin:NAME` is a tool of an installed package. Without it: the built-in of the same name."""
    python: Annotated[
        str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$", examples=["tools:make_quote"])
    ] = None
    """`module:function`, below the manifest's folder or one of `security.tool_roots`."""
    functions: Annotated[list[str], Field(examples=[["make_quote"]])] = []
    """For `python`: more functions of the same module. For any other: the only ones that may be called."""
    timeout: Duration = 10.0
    """The longest time for a call."""
    approval: Literal["never", "always", "writes"] = "never"
    """Whether a person must allow calls first, each once and with exactly its arguments: `always`, or `writes` for functions
    that change something or reach outside."""
    path: Annotated[str | None, Field(max_length=1024, examples=["data/products.csv"])] = None
    """For `database`: an SQLite file, or a CSV file or folder. For `calendar`: an .ics file. For `knowledge`: a folder. Counts
    from the manifest's folder."""
    include: Annotated[list[Annotated[str, Field(min_length=1)]], Field(examples=[["**/*.md"]])] = []
    """For `knowledge`: which files of the folder; by default `**/*.md` and `**/*.txt`."""
    queries: Annotated[
        dict[Name, NamedQuery],
        Field(
            examples=[
                {
                    "product": {
                        "sql": "select * from products where sku = :sku",
                        "parameters": {"sku": "string"},
                        "one": True,
                    }
                }
            ]
        ),
    ] = {}
    """For `database`: named queries."""
    allow_sql: bool = False
    """For `database`: the agent may write its own SELECT statements."""
    writable: bool = False
    """For `database`: queries may change the store."""
    timezone: Annotated[str | None, Field(examples=["Europe/Rome"])] = None
    """For `clock` and `calendar`: the time zone; the device's own by default."""
    sender: Annotated[str | None, Field(examples=["shop@example.org"])] = None
    """For `email`: who sends."""
    smtp: Smtp | None = None
    """For `email`: a mail server."""
    plugin_options: Annotated[dict[str, Any], Field(examples=[{"city": "Rome"}])] = {}
    """For `plugin:NAME`: what its package takes."""


ToolItem = Annotated[Annotated[ToolEntry, Tag(MAP)] | NameOr, BY_SHAPE]


class KnowledgeEntry(Spec):
    """A named set of local documents."""

    name: Annotated[Name, Field(examples=["faq"])]
    """Its name."""
    path: Annotated[str, Field(min_length=1, max_length=1024, examples=["docs"])]
    """A folder of Markdown and text; counts from the manifest's folder."""
    include: Annotated[list[str], Field(examples=[["**/*.md"]])] = ["**/*.md", "**/*.txt"]
    """Which files."""
