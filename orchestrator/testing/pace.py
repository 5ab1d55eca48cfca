"""How fast a simulated model is. Pure and seeded."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of a simulated model.

    ``ttft``: seconds to the first token; ``tps``: tokens per second after it (0: no time passes); ``prefill_tps``:
    prompt tokens per second that are read before the first token (0: no time passes); ``jitter``: share by which each
    time is drawn longer or shorter.
    """

    ttft: float = 0.0
    tps: float = 0.0
    prefill_tps: float = 0.0
    jitter: float = 0.0

    def first(self, prompt_tokens: int, chance: random.Random) -> float:
        """Seconds until the first token."""
        prefill = prompt_tokens / self.prefill_tps if self.prefill_tps else 0.0
        return self._drawn(self.ttft + prefill, chance)

    def gap(self, chance: random.Random) -> float:
        """Seconds between two tokens of one answer."""
        return self._drawn(1.0 / self.tps, chance) if self.tps else 0.0

    def _drawn(self, seconds: float, chance: random.Random) -> float:
        return seconds * chance.uniform(1 - self.jitter, 1 + self.jitter) if self.jitter else seconds
