"""The running cloud: its process, state directory, HTTP server and control paths. What a service answers is in services and ec2."""
