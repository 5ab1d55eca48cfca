"""Every check that needs more than one key: names that point at parts, keys of a role, files, templates, patterns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orchestrator.manifest.checks.builds import check_builds
from orchestrator.manifest.checks.doubt import check_doubt
from orchestrator.manifest.checks.keys import check_keys
from orchestrator.manifest.checks.keywords import check_keywords
from orchestrator.manifest.checks.not_acted_on import tell_what_is_not_acted_on
from orchestrator.manifest.checks.people import check_people
from orchestrator.manifest.checks.plugins import check_plugins
from orchestrator.manifest.checks.policy import check_policy
from orchestrator.manifest.checks.references import check_references
from orchestrator.manifest.checks.servers import check_servers
from orchestrator.manifest.checks.texts import check_texts
from orchestrator.manifest.checks.tokens import check_tokens
from orchestrator.manifest.checks.tools import check_tools
from orchestrator.manifest.checks.zones import check_zones
from orchestrator.manifest.inference.draft import Draft

CHECKS: Final[tuple[Callable[[Draft], None], ...]] = (
    check_references,
    check_keys,
    check_tools,
    check_plugins,
    check_servers,
    check_builds,
    check_tokens,
    check_texts,
    check_keywords,
    check_people,
    check_doubt,
    check_zones,
    check_policy,
    tell_what_is_not_acted_on,
)


def validate(draft: Draft) -> None:
    """Add everything that is wrong in a draft whose parts are settled."""
    for check in CHECKS:
        check(draft)
