"""VM guests: the image they boot, the QEMU machine they boot on, and the network they see."""
