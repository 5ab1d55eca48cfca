"""The HTTP line to model servers: who carries a request, and what comes back. Knows no protocol above HTTP."""
