"""IAM: policies, roles that services assume, and the resource names and condition keys of requests."""
