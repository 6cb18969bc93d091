"""pie: as many correct digits of pi as fit in the given seconds.

Only the digit program lives here. It knows nothing of dayfly, clouds or schedules; the `dayfly.toml` beside it does.
"""
