"""Keys of subjects, and what their absence means."""
