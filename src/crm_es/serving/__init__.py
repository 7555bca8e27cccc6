"""`crm-es serve`: N web processes on one listening socket and the projector beside them, kept alive and stopped together."""
