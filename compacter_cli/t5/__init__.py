"""The T5: its dimensions, its weights by name, and how a step of it is computed."""
