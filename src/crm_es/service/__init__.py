"""Queues, tickets, SLA policies and articles. Their room is ready; their issue comes next."""
