"""The commands of `crm-es`, one module a subject. They parse, call, and tell; rules live in the rooms."""
