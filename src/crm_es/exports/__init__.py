"""Compliance bundles. Their room is ready."""
