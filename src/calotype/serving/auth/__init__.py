"""Who may call: keys, tokens, and how often one may guess."""
