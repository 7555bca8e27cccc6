"""Files become facts: a mapping says how, every row goes through a mutation of the schema."""
