"""Undo at business level: events that compensate what one command, import or merge did and nobody has changed since."""
