"""The scoring web service: one ASGI app over image models, entry scripts and no-code models."""
