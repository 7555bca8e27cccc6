"""The shell of the API: HTTP, limits, scalars, ids, error and payload types. What a room asks and answers is in the room."""
