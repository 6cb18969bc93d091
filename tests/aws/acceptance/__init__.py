"""What can not be proved on one machine, tried on a real account for a few cents: points of docs/unproven.md, and one whole run."""
