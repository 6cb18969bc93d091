"""The proof of the permissions: rendered policies, judged by a public evaluator of IAM's rules. `make permissions-proof` prints it."""
