"""S3: where MiniStack answers differently than S3 does."""
