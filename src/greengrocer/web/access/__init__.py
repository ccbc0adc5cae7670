"""Who may send requests, how many, and from where: API keys, rate limits, proxies, CORS."""
