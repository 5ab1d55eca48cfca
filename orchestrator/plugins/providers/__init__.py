"""Model servers: one lean client for all that speak the OpenAI protocol, a row for each make, and the official SDK."""
