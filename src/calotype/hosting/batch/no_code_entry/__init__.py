"""The folder of the batch script for models without a script of their own."""
