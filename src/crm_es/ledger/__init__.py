"""The Merkle tree over the log: room for tree, checkpoints, sealer and verifier."""
