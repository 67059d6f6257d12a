"""Ready clients of a service, in seven languages."""
