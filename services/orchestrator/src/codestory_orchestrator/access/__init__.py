"""Who asks, and whether they may: API keys, tokens of an OpenID issuer, tickets, rates. Knows no HTTP framework."""
