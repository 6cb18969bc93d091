"""CloudFormation: what its requests and resources are on AWS where MiniStack's engine does otherwise."""
