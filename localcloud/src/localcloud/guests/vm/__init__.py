"""Guests that are whole machines: the image they boot, the machine they boot on, and the network they see."""
