"""Guests: the process trees and virtual machines that run EC2 instances. Nothing of the EC2 API lives here."""
