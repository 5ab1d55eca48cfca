"""Words that every floor shares: addresses, diagnostics, messages, requests, results, events, quantities."""
