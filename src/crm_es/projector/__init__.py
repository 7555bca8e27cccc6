"""The process that feeds read models, and how they are rebuilt."""
