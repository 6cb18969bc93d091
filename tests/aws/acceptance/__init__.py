"""Test on a real account, for a few cents, what cannot be proved on one machine: points of docs/unproven.md, and a whole run."""
