"""Queues, tickets, SLA policies and articles."""
