"""The event bus: rules that fire on a schedule, and what a rule may invoke."""
