"""Learning while serving: what each answered request adds, and how it corrects the forecasts of the next.

Everything learned is a sum over observations, so many workers add to the same rows and lose nothing.
"""
