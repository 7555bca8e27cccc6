"""Files to mutations: mappings, dry runs, resumable runs."""
