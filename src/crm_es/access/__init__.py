"""Who read what: what an operation answered becomes a row, written before or just after the answer, sealed by the hour."""
