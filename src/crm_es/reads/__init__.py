"""Read types are declared once; selections become SQL, rows become answers."""
