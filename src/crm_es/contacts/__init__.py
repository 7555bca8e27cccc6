"""Contacts and companies: the parties we deal with."""
