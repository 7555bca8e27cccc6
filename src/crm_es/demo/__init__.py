"""A workspace full of invented people, for trying things out. Marked as demo for ever."""
