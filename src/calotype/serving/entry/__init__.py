"""Entry scripts: a user's score.py, run in processes of its own."""
