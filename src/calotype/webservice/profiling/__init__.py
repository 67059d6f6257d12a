"""Measuring what a service needs: a real one on loopback, called alone and by many at once."""
