"""pie: as many correct digits of pi as fit in the given seconds.

Here lives the digit program only. It knows nothing of dayfly, of clouds or of schedules: `dayfly.toml` beside it does.
"""
