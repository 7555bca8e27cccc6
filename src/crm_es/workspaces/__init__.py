"""Workspaces, members, teams, roles, API keys and saved views: who may do what."""
