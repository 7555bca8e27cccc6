"""Interactions: calls, emails, meetings, notes, purchases on a timeline."""
