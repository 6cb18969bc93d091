"""The services of AWS except EC2: what localcloud adds to MiniStack, and what it answers itself."""
