"""Products, pipelines and deals. Their room is ready; their issue comes next."""
